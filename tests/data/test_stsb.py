"""The data set stsb: its parts, and that no sentence to train on is one to measure with."""

import pytest

from nearfar.core.errors import ResourceError
from nearfar.data.dataset import VARIABLE
from nearfar.datasets.stsb import stsb


def test_without_the_folder_the_variable_is_named(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ResourceError, match=VARIABLE):
        stsb()


def test_parts(real_data):
    found = stsb()
    assert {name: len(part) for name, part in found.parts.items()} == {
        "train": 10072,
        "pairs": 5749,
        "dev": 1500,
        "test": 1379,
    }
    alone = list(found.train.fields["text"])
    measured = {
        text for part in ("dev", "test") for name in ("first", "second") for text in found.part(part).fields[name]
    }
    assert len(set(alone)) == len(alone)
    assert not set(alone) & measured
    assert set(found.part("pairs").fields["first"]) & measured  # known bad: the judged pairs repeat some
    assert found.part("dev").columns["score"].min() == 0
    assert found.part("dev").columns["score"].max() == 5
