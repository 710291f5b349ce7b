"""Utterances of intents, from a file of the same form: sizes, no intent in two parts, and what is said where the file is short or missing."""

import gzip

import numpy as np
import pytest

from nearfar.core.errors import DataError, ResourceError
from nearfar.datasets.clinc150 import KNOWN, PARTS, clinc150

EACH = 30  # utterances of an intent in each split


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes so many intents, with enough utterances of each."""
    monkeypatch.setenv("NEARFAR_DATA", str(tmp_path))

    def write(intents):
        lines = ["split\ttext\tintent\tdomain\tis_oos", "train\tnothing known\toos\toos\tTrue"]
        for split in ("train", "val", "test"):
            lines += [
                f"{split}\t{split} asks {i} for wish{k}\twish{k}\tall\tFalse"
                for k in range(intents)
                for i in range(EACH)
            ]
        (tmp_path / "clinc150").mkdir(exist_ok=True)
        with gzip.open(tmp_path / "clinc150" / "clinc150.tsv.gz", "wt", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")

    return write


def test_parts_share_no_intent(file):
    file(150)
    made = clinc150()
    seen = []
    for name, (split, count, each) in PARTS.items():
        part = made.part(name)
        labels, counts = np.unique(part.columns["label"], return_counts=True)
        assert counts.tolist() == [each] * count
        for text, label in zip(part.fields["text"], part.columns["label"], strict=True):
            assert text.startswith(split)
            assert text.endswith(f"for {made.facts['intents'][label]}")
        seen += labels.tolist()
    assert sorted(seen) == list(range(150))
    for name, (split, each) in KNOWN.items():
        part = made.part(name)
        assert part.columns["label"].tolist() == [k for k in range(150) for _ in range(each)]
        assert all(text.startswith(split) for text in part.fields["text"])
    assert made.facts["domains"] == ["all"] * 150
    assert len(made.part("texts")) == 150 * EACH
    assert "label" not in made.part("texts").columns
    assert made.fingerprint == clinc150().fingerprint


def test_a_short_file_and_none_are_told(file, monkeypatch):
    file(120)
    with pytest.raises(DataError, match="utterances for"):
        clinc150()
    monkeypatch.delenv("NEARFAR_DATA")
    with pytest.raises(ResourceError, match="NEARFAR_DATA"):
        clinc150()
