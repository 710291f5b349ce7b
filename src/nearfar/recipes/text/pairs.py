"""Pairs of texts that belong together: two-way InfoNCE over large batches on a static encoder made for CPUs.

The recipe for a practitioner with pairs and a laptop (question and answer, docstring and code, title and abstract); explicit
hard negatives are used when the data has them. Cost: docs/records/quickstart.json says it for
some 30,000 pairs.

    nearfar train pairs --data my.jsonl --columns question,answer
    nearfar train pairs --data my.csv --set objective.temperature=0.03 --set fit.epochs=4
"""

from __future__ import annotations

from nearfar.core.card import Card
from nearfar.core.recipe import Contrast, Recipe, Use
from nearfar.core.stage import Fit

CARD = Card(
    name="pairs",
    summary="pairs of texts, two-way InfoNCE, a static encoder made for CPUs",
    data=("pairs",),
    papers=("1807.03748",),
)


def recipe() -> Recipe:
    """Settings as in `code_search`; at least 200 steps, since a few hundred pairs make only one step a pass."""
    return Recipe(
        name="pairs",
        encoder=Use("static"),
        objective=Contrast(rule="info_nce", relation="paired", temperature=0.05, both_ways=True),
        stages=(Fit(batch_size=1024, epochs=3, min_steps=200, learning_rate=0.005),),
    )
