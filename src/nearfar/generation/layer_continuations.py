"""Continuations of a recipe's own texts by `layer_contrast`, beside the same by greedy search, for the stage `Decode`.

        Decode("continue", Use("layer_continuations", {"layers": "low"}))

The encoder must be that of a causal model with more than one layer: `character_model`, or `pretrained` with such a folder. Kin:
`continuations`, `amateur_continuations`.
Source: sizes are those of `continuations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nearfar.core.card import Card
from nearfar.generation.layer_contrast import layer_contrast
from nearfar.generation.shared.beginnings import check_counts, written

CARD = Card(
    name="layer_continuations",
    summary="what a recipe's language model writes after its texts' beginnings, its last layer against an early one",
    related=("layer_contrast", "continuations", "amateur_continuations", "character_model"),
)


def layer_continuations(
    layers: str | tuple[int, ...] = "high",
    alpha: float = 0.1,
    *,
    texts: int = 8,
    prefix: int = 32,
    new: int = 128,
    field: str = "text",
) -> Callable[[Any], Mapping[str, Any]]:
    """A function of a run's state: {"contrast 1": text, "greedy 1": text, ...}.

    layers, alpha  of the contrast
    texts          how many are continued
    prefix         tokens that each begins with
    new            tokens that are written, fewer where the text ends or the model has no positions left

    Raises UsageError for numbers below one, and where it runs for a model that cannot go on with texts.
    """
    check_counts(texts=texts, prefix=prefix, new=new)
    decoders = {"contrast": {"custom_generate": layer_contrast(layers, alpha)}, "greedy": {"do_sample": False}}

    def run(state: Any) -> dict[str, str]:
        return written(state, decoders, texts, prefix, new, field)

    return run
