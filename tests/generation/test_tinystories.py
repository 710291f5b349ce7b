"""The language model of small stories: its weights are read right, and its beginnings are dealt out once. Needs NEARFAR_DATA."""

import pytest
import torch

from nearfar.core.errors import ResourceError
from nearfar.datasets import tinystories_prefixes as module
from nearfar.generation.language_model import language_model, states_and_log_probabilities

STORY = " Once upon a time, there was a little girl named Lily. She loved to play in the park with her mom."


def likelihood(encoder):
    ids = encoder.tokenizer.encode(STORY).ids
    return float(states_and_log_probabilities(language_model(encoder), [ids])[0][1].mean())


def test_the_weights_are_in_their_places(monkeypatch, real_data):
    encoder = module.story_model()
    assert encoder.tokenizer.decode(encoder.tokenizer.encode(STORY).ids[1:]) == STORY
    assert likelihood(encoder) > -0.5
    monkeypatch.setattr(module, "_halves", lambda table, heads: table)
    assert likelihood(module.story_model()) < -1.0, "turned as neighbours, not as halves"


def test_no_beginning_is_in_two_parts(real_data):
    parts = {name: part.fields["text"] for name, part in module.tinystories_prefixes().parts.items()}
    assert {name: len(texts) for name, texts in parts.items()} == {"train": 300, "dev": 32, "test": 32}
    every = [text for texts in parts.values() for text in texts]
    assert len(set(every)) == len(every)
    assert torch.tensor([len(text) for text in every]).max() < 100


def test_without_the_folder(monkeypatch):
    monkeypatch.delenv("NEARFAR_DATA", raising=False)
    with pytest.raises(ResourceError, match="NEARFAR_DATA"):
        module.tinystories_prefixes()
