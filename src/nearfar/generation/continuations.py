"""Continuations of a recipe's own texts, for the stage `Decode`: what its language model writes after their beginnings.

        Decode("continue", Use("continuations", {"k": 5, "alpha": 0.6}))

Decoded by `contrastive_search`, beside the same by greedy search; `isotropy` and `diversity` measure states and texts. Texts are
held-out ones where there are any, else training ones.
The encoder must be that of a causal model whose table of tokens scores the next one: `character_model`, or `pretrained` with such
a folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nearfar.core.card import Card
from nearfar.generation.contrastive_search import contrastive_search
from nearfar.generation.shared.beginnings import beginning, check_counts, continued, written

__all__ = ["beginning", "continuations", "continued"]

CARD = Card(
    name="continuations",
    summary="what a recipe's language model writes after its texts' beginnings, by contrastive and by greedy search",
    related=("contrastive_search", "character_model", "diversity", "isotropy"),
)


def continuations(
    k: int = 5, alpha: float = 0.6, *, texts: int = 8, prefix: int = 32, new: int = 128, field: str = "text"
) -> Callable[[Any], Mapping[str, Any]]:
    """A function of a run's state: {"contrastive 1": text, "greedy 1": text, ...}.

    k, alpha  of the contrastive search
    texts     how many are continued
    prefix    tokens that each begins with
    new       tokens that are written, fewer where the text ends or the model has no positions left

    Raises UsageError for numbers below one, and where it runs for a model that cannot go on with texts.
    """
    decoders = {
        "contrastive": {"custom_generate": contrastive_search(k, alpha)},
        "greedy": {"custom_generate": contrastive_search(1, 0.0)},
    }
    check_counts(texts=texts, prefix=prefix, new=new)

    def run(state: Any) -> dict[str, str]:
        return written(state, decoders, texts, prefix, new, field)

    return run
