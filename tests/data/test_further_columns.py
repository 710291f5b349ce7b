"""Columns beside the texts of pairs - labels, groups, scores - from whatever a user has; and what records cost."""

import gzip
import json

import datasets
import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.data.costs import costs
from nearfar.data.lazy import lazy_pairs
from nearfar.data.pairs import pairs
from nearfar.data.readers import column_names
from nearfar.data.records import Records
from nearfar.data.sources import sources
from nearfar.data.split import split

ROWS = [{"q": f"what {i}", "a": f"that {i}", "topic": f"t{i % 3}", "score": i / 2, "number": i} for i in range(12)]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def expected():
    return {
        "topic": string_ids([row["topic"] for row in ROWS]),
        "score": np.array([row["score"] for row in ROWS]),
        "number": np.arange(12),
    }


@pytest.mark.parametrize("kind", ["memory", "by record", "packed", "dicts", "by name", "datasets"])
def test_they_are_kept_whatever_the_pairs_come_from(kind, file, tmp_path):
    packed = tmp_path / "pairs.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    by_name = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    if kind == "by record":
        records = lazy_pairs(file, "q,a", numbers=list(expected()))
    else:
        if kind == "datasets":
            given = datasets.Dataset.from_list(ROWS)
        else:
            given = {"memory": file, "packed": packed, "dicts": ROWS, "by name": by_name}[kind]
        records = pairs(given, "q,a", numbers=list(expected())).records()
        assert set(expected()) <= set(column_names(given))
    for name, values in expected().items():
        assert np.array_equal(records.columns[name], values), name
        assert not np.array_equal(records.columns[name], values[::-1])
    assert not {"topic", "score"} & set(records.fields)


def test_they_follow_their_pairs(file):
    table = pairs(file, "q,a", numbers=["number"])
    assert table.take([5, 2]).further["number"].tolist() == [5, 2]
    for part in split(table, 0.3):
        assert [f"what {n}" for n in part.further["number"]] == part.queries
    both = sources({"one": table, "two": pairs(file, "q,a", numbers=["number"])})
    assert both.columns["number"].tolist() == [*range(12), *range(12)]


def test_a_pair_with_another_label_is_other_data(file):
    plain, with_topic = pairs(file, "q,a").records(), pairs(file, "q,a", numbers=["topic"]).records()
    other = [row | {"topic": "t9"} if i == 4 else row for i, row in enumerate(ROWS)]
    assert (
        len({plain.fingerprint, with_topic.fingerprint, pairs(other, "q,a", numbers=["topic"]).records().fingerprint})
        == 3
    )


@pytest.mark.parametrize("opened", [pairs, lazy_pairs])
def test_what_is_no_number_and_what_is_not_there(opened, tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [row | {"topic": None} if i == 3 else row for i, row in enumerate(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"null or NaN.*line 4, column .topic."):
        opened(path, "q,a", numbers=["topic"])
    with pytest.raises(DataError, match="did you mean 'topic'"):
        opened(path, "q,a", numbers=["topik"])


def test_a_text_of_the_pair_may_be_a_column_too(file):
    for records in (pairs(file, "q,a", numbers=["a"]).records(), lazy_pairs(file, "q,a", numbers=["a"])):
        assert np.array_equal(records.columns["a"], records.columns["document"])


def test_several_data_sets_of_the_library_are_named():
    both = datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS), test=datasets.Dataset.from_list(ROWS))
    with pytest.raises(UsageError, match="holds several data sets: train, test"):
        pairs(both)


def test_costs_are_lengths(tmp_path):
    sound = tmp_path / "a.wav"
    sound.write_bytes(bytes(300))
    records = Records(
        {
            "text": ["ab", "c"],
            "series": [np.zeros((7, 2)), np.zeros((3, 2))],
            "wave": [{"array": np.zeros(11), "sampling_rate": 8}, {"array": np.zeros(4), "sampling_rate": 8}],
            "path": [str(sound), str(sound)],
        }
    )
    assert costs(records, ["text"]).tolist() == [2, 1]
    assert costs(records, ["series"]).tolist() == [7, 3]
    assert costs(records, ["text", "wave"]).tolist() == [13, 5]
    assert costs(records, ["path"], paths=True).tolist() == [300, 300]
    assert costs(records, ["path"]).tolist() == [len(str(sound))] * 2
    with pytest.raises(DataError, match="cannot be read"):
        costs(Records({"path": ["nowhere.wav"]}), ["path"], paths=True)
    prompted = sources({"a": [("x", "y"), ("z", "w")]}, prompts={"a": {"query": "a long prompt: "}})
    assert costs(prompted, ["query"]).tolist() == [1, 1], "what stands before every text says nothing"
