"""Beginnings of a recipe's own texts, and what its language model writes after them by one decoder or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nearfar.core.errors import UsageError
from nearfar.generation.language_model import language_model, left_padded


def check_counts(**counts: int) -> None:
    """Raises UsageError for a number below one."""
    for name, value in counts.items():
        if value < 1:
            raise UsageError(f"{name} is {value}", where=name, remedy="give one or more")


def some_texts(state: Any, field: str, most: int) -> list[str]:
    """The first held-out texts of a run, or the first of those it trained on where none are held out."""
    records = state.held_out if state.held_out is not None and len(state.held_out) else state.records
    return records.many(field, range(min(most, len(records))))


def written(
    state: Any, decoders: Mapping[str, Mapping[str, Any]], texts: int, prefix: int, new: int, field: str
) -> dict[str, str]:
    """{"DECODER 1": text, ...}: what each decoder, options of `generate` by name, writes after the beginnings of a run's texts."""
    encoder = next(iter(state.towers.values()))
    model = language_model(encoder)
    beginnings = [beginning(encoder, text, prefix) for text in some_texts(state, field, texts)]
    found: dict[str, str] = {}
    for name, by in decoders.items():
        made = continued(model, beginnings, new, **by)
        found |= {f"{name} {i + 1}": encoder.tokenizer.decode(ids) for i, ids in enumerate(made)}
    return found


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
