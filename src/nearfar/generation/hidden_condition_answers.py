"""Answers to a recipe's own prompts by `prompt_contrast`, beside the same by greedy search, for the stage `Decode`.

        Decode("answer", Use("hidden_condition_answers"))

A record is a pair of texts: the prompt, and the same prompt without the condition that is feared to be overlooked. The encoder must be
that of a causal model: `character_model`, or `pretrained` with such a folder. Kin: `continuations`, `amateur_continuations`.
Source: see `prompt_contrast`; 16 tokens an answer are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nearfar.core.card import Card
from nearfar.generation.language_model import language_model, left_padded
from nearfar.generation.prompt_contrast import prompt_contrast
from nearfar.generation.shared.beginnings import check_counts, continued, some_texts

CARD = Card(
    name="hidden_condition_answers",
    summary="what a recipe's language model answers to prompts, against what it answers with a condition hidden",
    related=("prompt_contrast", "continuations", "amateur_continuations", "character_model"),
)


def hidden_condition_answers(
    alpha: float = 0.1,
    weight: float = 1.0,
    *,
    texts: int = 8,
    new: int = 16,
    field: str = "query",
    hidden: str = "document",
) -> Callable[[Any], Mapping[str, Any]]:
    """A function of a run's state: {"contrast 1": text, "greedy 1": text, ...}.

    alpha, weight  of the contrast
    texts          how many prompts are answered
    new            tokens that are written, fewer where the answer ends or the model has no positions left
    field, hidden  where the prompts are, and the prompts with a condition hidden

    Raises UsageError for numbers below one, and where it runs for a model that cannot go on with texts.
    """
    check_counts(texts=texts, new=new)

    def run(state: Any) -> dict[str, str]:
        encoder = next(iter(state.towers.values()))
        model = language_model(encoder)
        prompts, less = (
            [encoder.tokenizer.encode(text).ids for text in some_texts(state, name, texts)] for name in (field, hidden)
        )
        padding = model.config.pad_token_id or 0
        ids, mask = left_padded(less, padding)
        by = prompt_contrast(ids, mask.long(), alpha, weight)
        found: dict[str, str] = {}
        for name, options in (("contrast", {"custom_generate": by}), ("greedy", {"do_sample": False})):
            made = continued(model, prompts, new, **options)
            found |= {f"{name} {i + 1}": encoder.tokenizer.decode(answer) for i, answer in enumerate(made)}
        return found

    return run
