"""Records of any modality: equal lengths, items by number, lazily taken, and a digest that tells contents apart."""

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.data.records import Records


class OnDisk(list):
    """A field that counts how often it is read."""

    reads = 0

    def many(self, index):
        self.reads += 1
        return [self[i] for i in index]


def made(**changes):
    fields = {
        "text": ["a", "b", "c"],
        "image": [np.zeros((2, 2)), np.ones((2, 2)), np.eye(2)],
        "ids": [[1], [2, 3], []],
    }
    return Records({**fields, **changes}, {"label": np.array([3, 4, 5])})


def test_items_come_by_number_in_the_order_asked_for():
    records = made()
    assert records.many("text", [2, 0, 2]) == ["c", "a", "c"]
    taken = records.take([2, 0]).take([1])
    assert (len(taken), taken.many("text", [0]), taken.columns["label"].tolist()) == (1, ["a"], [3])
    assert taken.fields["ids"][0] == [1]
    assert list(records.take([1, 2]).fields["text"][0:2]) == ["b", "c"]


def test_what_is_on_disk_is_read_in_batches_and_only_when_asked_for():
    disk = OnDisk("abc")
    taken = made(text=disk).take([2, 1])
    assert disk.reads == 0
    assert taken.many("text", [1, 0]) == ["b", "c"]
    assert disk.reads == 1


def test_the_fingerprint_is_that_of_the_contents():
    base = made().fingerprint
    assert made().fingerprint == base
    assert made(image=[torch.zeros(2, 2, dtype=torch.float64), np.ones((2, 2)), np.eye(2)]).fingerprint == base
    for change in (
        {"text": ["a", "b", "d"]},
        {"text": ["ab", "", "c"]},
        {"image": [np.zeros((2, 2)), np.ones((2, 2)), np.eye(2) + 1e-9]},
        {"ids": [[1, 2], [3], []]},
    ):
        assert made(**change).fingerprint != base
    assert made().with_columns(label=np.array([3, 4, 6])).fingerprint != base
    assert Records({"text": ["a"]}, digest="known").fingerprint == "known"


def test_bad_records_are_refused_with_what_to_do():
    with pytest.raises(DataError, match="lengths"):
        made(text=["a"])
    with pytest.raises(DataError, match="without any field"):
        Records({})
    with pytest.raises(UsageError, match="the fields are text, image, ids"):
        made().many("words", [0])
