"""Continuations of a recipe's own texts, for the stage `Decode`: what its language model writes after their beginnings.

        Decode("continue", Use("continuations", {"k": 5, "alpha": 0.6}))

Decoded by `contrastive_search`, beside the same by greedy search; `isotropy` and `diversity` measure states and texts. Texts are
held-out ones where there are any, else training ones.
The encoder must be that of a causal model whose table of tokens scores the next one: `character_model`, or `pretrained` with such
a folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.generation.contrastive_search import contrastive_search
from nearfar.generation.language_model import language_model, left_padded

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
    decoder = contrastive_search(k, alpha)
    for name, value in (("texts", texts), ("prefix", prefix), ("new", new)):
        if value < 1:
            raise UsageError(f"{name} is {value}", where=name, remedy="give one or more")

    def run(state: Any) -> dict[str, Any]:
        records = state.held_out if state.held_out is not None and len(state.held_out) else state.records
        encoder = next(iter(state.towers.values()))
        model = language_model(encoder)
        given = records.many(field, range(min(texts, len(records))))
        beginnings = [beginning(encoder, text, prefix) for text in given]
        found: dict[str, Any] = {}
        for name, by in (("contrastive", decoder), ("greedy", contrastive_search(1, 0.0))):
            written = continued(model, beginnings, new, custom_generate=by)
            found |= {f"{name} {i + 1}": encoder.tokenizer.decode(ids) for i, ids in enumerate(written)}
        return found

    return run


def beginning(encoder: Any, text: str, most: int) -> list[int]:
    """Ids of a text's first tokens, as the encoder reads it: without what marks an end."""
    return encoder.tokenizer.encode(text).ids[:most]


def continued(model: Any, beginnings: Sequence[Sequence[int]], new: int, **options: Any) -> list[list[int]]:
    """Ids that follow each beginning, without it and without an end; `options` are those of the model's `generate`."""
    config = model.config
    room = getattr(config, "max_position_embeddings", None)
    longest = max(map(len, beginnings))
    if room is not None and longest >= room:
        raise UsageError(f"{longest} tokens leave no room for more", where="prefix", remedy=f"take fewer than {room}")
    end = config.eos_token_id
    ends = set(end) if isinstance(end, (list, tuple)) else {end}
    padding = next((value for value in (config.pad_token_id, *ends) if value is not None), 0)
    ids, mask = left_padded(beginnings, padding)
    device = next(model.parameters()).device
    with torch.no_grad():
        made = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.long().to(device),
            max_new_tokens=new if room is None else min(new, room - longest),
            pad_token_id=padding,
            **options,
        )
    written = [row[longest:] for row in made.tolist()]
    return [row[: next((i for i, token in enumerate(row) if token in ends), len(row))] for row in written]
