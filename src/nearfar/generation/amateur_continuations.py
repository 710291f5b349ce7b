"""Continuations of a recipe's own texts by `amateur_contrast`, beside the same by greedy search, for the stage `Decode`.

        Decode("continue", Use("amateur_continuations", {"amateur": "FOLDER"}))

The recipe's encoder is the expert, which must be that of a causal model (`character_model`, or `pretrained`); the amateur is a smaller
model in a local folder, or the expert itself with a few tokens in sight. Kin: `continuations`, `layer_continuations`.
Source: sizes are those of `continuations`; a context of 16 tokens is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nearfar.core.card import Card
from nearfar.encoders.pretrained import Pretrained
from nearfar.generation.amateur_contrast import amateur_contrast
from nearfar.generation.language_model import language_model
from nearfar.generation.shared.beginnings import check_counts, written

CARD = Card(
    name="amateur_continuations",
    summary="what a recipe's language model writes after its texts' beginnings, against a worse model of language",
    related=("amateur_contrast", "continuations", "layer_continuations", "character_model"),
)


def amateur_continuations(
    amateur: str = "",
    context: int | None = 16,
    alpha: float = 0.1,
    temperature: float = 1.0,
    *,
    texts: int = 8,
    prefix: int = 32,
    new: int = 128,
    field: str = "text",
) -> Callable[[Any], Mapping[str, Any]]:
    """A function of a run's state: {"contrast 1": text, "greedy 1": text, ...}.

    amateur  the folder of a smaller causal model of the same tokenizer; "": the expert itself
    context  tokens that the amateur sees; None: all
    alpha, temperature  of the contrast
    texts    how many are continued
    prefix   tokens that each begins with
    new      tokens that are written, fewer where the text ends or the model has no positions left

    Raises UsageError for numbers below one, and where it runs for a model that cannot go on with texts.
    """
    check_counts(texts=texts, prefix=prefix, new=new)
    smaller = language_model(Pretrained.fit({}, folder=amateur)) if amateur else None
    by = amateur_contrast(smaller, alpha, temperature=temperature, context=context)
    decoders = {"contrast": {"custom_generate": by}, "greedy": {"do_sample": False}}

    def run(state: Any) -> dict[str, str]:
        return written(state, decoders, texts, prefix, new, field)

    return run
