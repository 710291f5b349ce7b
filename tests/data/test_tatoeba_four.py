"""Four languages with English, from a file of the same form: sizes, no sentence in two pairs, and what is said where the file is short or missing."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearfar.core.errors import DataError, ResourceError
from nearfar.core.ids import string_ids
from nearfar.datasets.tatoeba_four import LANGUAGES, SIZES, tatoeba_four

SHARED = 10  # sentences at the head of every language that have the same translation


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes so many pairs a language."""
    monkeypatch.setenv("NEARFAR_DATA", str(tmp_path))

    def write(pairs):
        rows = [(language, i) for language in ("fra", *LANGUAGES) for i in range(pairs)]
        english = [f"shared {i}" if i < SHARED else f"{language} means {i}" for language, i in rows]
        columns = {
            "lang": [language for language, _ in rows],
            "text": [f"{language} {i}" for language, i in rows],
            "english": english,
        }
        (tmp_path / "tatoeba").mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), tmp_path / "tatoeba" / "tatoeba.parquet")

    return write


def test_parts_and_sources(file):
    file(1000)
    made = tatoeba_four()
    sentences = [text for part in made.parts.values() for field in part.fields.values() for text in field]
    assert len(sentences) == len(set(sentences)) == 2 * len(LANGUAGES) * sum(SIZES.values())
    for name, size in SIZES.items():
        part = made.part(name)
        sources, counts = np.unique(part.columns["source"], return_counts=True)
        assert set(sources.tolist()) == set(string_ids(LANGUAGES).tolist())
        assert counts.tolist() == [size] * len(LANGUAGES)
        assert all(
            q.split()[1] == d.split()[-1] for q, d in zip(part.fields["query"], part.fields["document"], strict=True)
        )
    assert made.fingerprint == tatoeba_four().fingerprint


def test_a_short_file_and_none_are_told(file, monkeypatch):
    file(sum(SIZES.values()) + SHARED - 1)
    with pytest.raises(DataError, match="pairs of spa"):
        tatoeba_four()
    monkeypatch.delenv("NEARFAR_DATA")
    with pytest.raises(ResourceError, match="NEARFAR_DATA"):
        tatoeba_four()
