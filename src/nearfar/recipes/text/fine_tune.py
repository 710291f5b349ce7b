"""A pretrained text encoder from a local folder, fine-tuned on pairs: two-way InfoNCE, gently.

For pairs that mean more than their words (paraphrases, questions and answers) and a model that knows the language already; explicit
hard negatives are used when the data has them, and `nearfar mine` finds some. Its relative `pairs` trains a static encoder from
nothing, at a thousandth of the cost. Cost: that of the model; `nearfar plan fine_tune` says what fits, and large batches need no
large memory. docs/fine-tune-text.md goes through all of it.

    nearfar train fine_tune --data my.jsonl --set encoder.folder=all-MiniLM-L6-v2
    nearfar train fine_tune --data my.jsonl --set encoder.folder=e5-base --set "encoder.query_prompt=query: "

Source: Reimers and Gurevych 2019 (arXiv 1908.10084) for Adam at 2e-5 and a linear warm-up over a tenth of the steps; they fit a
classifier in batches of 16. Wang et al. 2022 (E5, arXiv 2212.03533) for the contrastive form of it: InfoNCE in batches of 256 at 2e-5
for a base model, three passes, decay 0.01. Their temperature of 0.01 is one for a model that was contrasted on hundreds of
millions of pairs before; 0.05 is that of Gao et al. 2021 (SimCSE, arXiv 2104.08821), who found it best of 0.001 to 1. Both ways
(not in E5) costs nothing more. Decay is AdamW's, Loshchilov and Hutter 2017 (arXiv 1711.05101). A gradient of norm 1 at
most is the custom since BERT's fine-tuning.
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.recipe import Contrast, Recipe, Use
from nearfar.core.stage import Fit

CARD = Card(
    name="fine_tune",
    summary="a pretrained text encoder from a local folder, fine-tuned on pairs by two-way InfoNCE",
    related=("pairs",),
    data=("pairs",),
    papers=("1908.10084", "2212.03533", "2104.08821", "1711.05101"),
)


def recipe() -> Recipe:
    """`encoder.folder` must be said: a folder of transformers, or one of sentence-transformers with its pooling and prompts."""
    return Recipe(
        name="fine_tune",
        encoder=Use("pretrained"),
        objective=Contrast(rule="info_nce", relation="paired", temperature=0.05, both_ways=True),
        stages=(
            Fit(
                batch_size=256,
                epochs=3,
                learning_rate=2e-5,
                schedule="linear",
                warmup=0.1,
                weight_decay=0.01,
                clip=1.0,
            ),
        ),
    )
