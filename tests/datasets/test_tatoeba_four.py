"""Four languages with English: sizes, no sentence in two pairs, and what is said where the file is not there."""

import os

import numpy as np
import pytest

from nearfar.core.errors import ResourceError
from nearfar.core.ids import string_ids
from nearfar.datasets.tatoeba_four import LANGUAGES, SIZES, tatoeba_four


@pytest.mark.skipif(not os.environ.get("NEARFAR_DATA"), reason="NEARFAR_DATA is not set")
def test_parts_and_sources():
    made = tatoeba_four()
    sentences = [text for part in made.parts.values() for field in part.fields.values() for text in field]
    assert len(sentences) == len(set(sentences)) == 2 * 4 * sum(SIZES.values())
    for name, size in SIZES.items():
        sources, counts = np.unique(made.part(name).columns["source"], return_counts=True)
        assert set(sources.tolist()) == set(string_ids(LANGUAGES).tolist())
        assert counts.tolist() == [size] * 4
    assert made.fingerprint == tatoeba_four().fingerprint


def test_without_the_folder_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("NEARFAR_DATA", raising=False)
    with pytest.raises(ResourceError, match="NEARFAR_DATA"):
        tatoeba_four()
