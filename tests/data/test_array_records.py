"""Data in hand as records: what becomes a field, what a column, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.data.array_records import array_records

SERIES = np.random.default_rng(0).normal(size=(4, 20, 2))


def test_arrays_and_lists_are_fields_and_numbers_are_columns():
    ragged = [SERIES[0], SERIES[1][:3], SERIES[2][:7], SERIES[3][:1]]
    records = array_records(
        series=SERIES,
        tensor=torch.tensor(SERIES),
        ragged=ragged,
        graph=[{"nodes": i} for i in range(4)],
        label=[0, 1, 0, 1],
        time=np.array([0.5, 1.5, 2.5, 3.5]),
        flag=torch.tensor([True, False, True, True]),
    )
    assert sorted(records.fields) == ["graph", "ragged", "series", "tensor"]
    assert sorted(records.columns) == ["flag", "label", "time"]
    assert len(records) == 4
    assert np.array_equal(records.fields["series"][2], SERIES[2])
    assert torch.equal(records.fields["tensor"][3], torch.tensor(SERIES[3]))
    assert records.many("ragged", [1, 3])[0] is ragged[1]
    assert records.columns["flag"].tolist() == [True, False, True, True]
    assert records.columns["time"].dtype == np.float64
    assert np.shares_memory(records.fields["series"][0], SERIES)


def test_records_are_taken_and_sliced_without_copies():
    records = array_records(series=SERIES, label=np.arange(4))
    some = records.take([3, 1])
    assert some.columns["label"].tolist() == [3, 1]
    assert np.array_equal(some.fields["series"][0], SERIES[3])
    part = records.fields["series"][1:3]
    assert [np.array_equal(a, b) for a, b in zip(part, SERIES[1:3], strict=True)] == [True, True]
    assert np.array_equal(records.fields["series"][-1], SERIES[3])
    with pytest.raises(IndexError):
        records.fields["series"][4]


def test_the_fingerprint_is_of_the_contents():
    one = array_records(series=SERIES, label=np.arange(4)).fingerprint
    assert one == array_records(series=SERIES.copy(), label=np.arange(4)).fingerprint
    other = SERIES.copy()
    other[2, 3, 1] += 1e-9
    assert one != array_records(series=other, label=np.arange(4)).fingerprint  # known bad
    assert one != array_records(series=SERIES, label=np.arange(4)[::-1].copy()).fingerprint


def test_texts_are_a_field_and_a_column_of_their_ids():
    records = array_records(query=["a", "b", "a"], kind=np.array(["x", "y", "x"]), columns=["kind"])
    assert list(records.fields) == ["query"]
    assert records.columns["query"].tolist() == string_ids(["a", "b", "a"]).tolist()
    assert records.columns["kind"].tolist() == string_ids(["x", "y", "x"]).tolist()
    assert records.columns["query"][0] != records.columns["query"][1]


def test_a_data_frame_is_a_table_or_columns():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4, 5, 6], "text": ["x", "y", "z"], "label": [0, 1, 0]})
    records = array_records(row=frame[["a", "b"]], text=frame["text"], label=frame["label"])
    assert records.fields["row"][1].tolist() == [2.0, 5.0]
    assert records.fields["text"][2] == "z"
    assert records.columns["label"].tolist() == [0, 1, 0]
    with pytest.raises(DataError, match=r"no number.*row"):
        array_records(row=frame[["a", "text"]])
    mixed = pd.DataFrame({"a": [1.0, 2.0], "b": [True, False]})
    assert array_records(row=mixed).fields["row"][0].tolist() == [1.0, 1.0]


def test_places_and_several_labels_are_columns_when_said_so():
    place = np.arange(8.0).reshape(4, 2)
    records = array_records(series=SERIES, place=place, columns=["place"])
    assert np.array_equal(records.columns["place"], place)
    assert "place" in array_records(series=SERIES, place=place).fields  # else they could be rows of a table


def test_what_has_no_length_and_what_lies_elsewhere():
    class Elsewhere:
        """As a data set of torch: it never stops by itself."""

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.full(5, index)

    records = array_records(wave=Elsewhere(), text=(word for word in "abc"))
    assert [wave[0] for wave in records.fields["wave"]] == [0, 1, 2]
    assert records.fields["text"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({}, UsageError, "no array"),
        ({"label": [0, 1]}, UsageError, "nothing here is a record to embed: label"),
        ({"text": ["a"], "columns": ["txet"]}, UsageError, "no array 'txet'"),
        ({"series": SERIES, "label": [0, 1]}, DataError, "lengths"),
        ({"text": []}, DataError, "no record"),
        ({"text": ["a", None]}, DataError, r"NoneType among texts.*text\[1\]"),
        ({"text": ["a", 3]}, DataError, r"int among texts.*text\[1\]"),
        ({"text": "abc"}, DataError, "str is no array"),
        ({"series": SERIES, "label": [0, 1, np.nan, 2]}, DataError, r"no finite number.*label\[2\]"),
        ({"series": SERIES, "label": [0, None, 1, 2]}, DataError, "label"),
        ({"series": SERIES, "label": 5}, DataError, "int is no array"),
        ({"series": np.float64(3.0)}, DataError, "single number"),
        ({"series": SERIES, "place": SERIES, "columns": ["place"]}, DataError, "3 axes"),
    ],
)
def test_what_cannot_be_used_is_named(arrays, error, message):
    with pytest.raises(error, match=message):
        array_records(**arrays)
