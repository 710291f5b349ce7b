"""Pairs from whatever a user has: the same table from every source, ids that tell duplicates, and errors for the hopeless."""

from __future__ import annotations

import json

import numpy as np
import pandas
import pyarrow
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.core.ids import string_ids
from nearfar.core.rows import rows
from nearfar.data.pair_table import PairTable
from nearfar.data.pairs import pairs
from nearfar.data.record import MissingColumn

Q = ["sort a list", "read a file", "make a folder"]
A = ["sorted(x)", "open(p).read()", "os.mkdir(p)"]
N = [["x.pop()"], [], ["open(p)", "os.rmdir(p)"]]
DICTS = [{"question": q, "answer": a} for q, a in zip(Q, A, strict=True)]
WITH_NEGATIVES = [d | {"negative": n} for d, n in zip(DICTS, N, strict=True)]


class Sequenced:
    """A data set that has only a length and items, as torch's have."""

    def __len__(self):
        return len(Q)

    def __getitem__(self, i):
        return Q[i % 3], A[i % 3]  # never ends by itself


def contents(table: PairTable):
    return table.queries, table.documents, table.negatives


NO_NEGATIVES = (Q, A, [[], [], []])
SOURCES = {
    "tuples": lambda: list(zip(Q, A, strict=True)),
    "lists": lambda: [[q, a] for q, a in zip(Q, A, strict=True)],
    "generator": lambda: zip(Q, A, strict=True),
    "dicts": lambda: DICTS,
    "dict of lists": lambda: {"question": Q, "answer": A},
    "dict of arrays": lambda: {"question": np.array(Q), "answer": np.array(A, dtype=object)},
    "array": lambda: np.array([Q, A]).T,
    "DataFrame": lambda: pandas.DataFrame({"id": [1, 2, 3], "question": Q, "answer": A}, index=[7, 8, 9]),
    "Arrow table": lambda: pyarrow.table({"question": Q, "answer": A}),
    "Series": lambda: {"question": pandas.Series(Q, index=[2, 1, 0]), "answer": pyarrow.array(A)},
    "data set": lambda: Sequenced(),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_pairs(name):
    table = pairs(SOURCES[name]())
    assert contents(table) == NO_NEGATIVES
    assert table.notes == ()
    assert all(type(text) is str for text in table.queries + table.documents)
    assert table.fingerprint == pairs(DICTS).fingerprint
    # The other way round is another table, so the comparison can fail.
    assert table.fingerprint != pairs(DICTS, "answer,question").fingerprint


@pytest.mark.parametrize(
    "source",
    [
        WITH_NEGATIVES,
        [(q, a, n) for q, a, n in zip(Q, A, N, strict=True)],
        [(Q[0], A[0], N[0][0]), (Q[1], A[1]), (Q[2], A[2], N[2])],
        [(Q[0], A[0], N[0]), (Q[1], A[1], None), (Q[2], A[2], np.array(N[2]))],
        pandas.DataFrame(WITH_NEGATIVES),
        pyarrow.Table.from_pylist(WITH_NEGATIVES),
        {"question": Q, "answer": A, "negatives": N},
    ],
    ids=["dicts", "tuples", "mixed tuples", "arrays", "DataFrame", "Arrow", "columns"],
)
def test_hard_negatives_of_every_form(source):
    table = pairs(source)
    assert contents(table) == (Q, A, N)
    assert table.has_negatives
    assert table.fingerprint != pairs(DICTS).fingerprint


def test_several_columns_of_negatives_in_files(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("question,answer,neg_a,neg_b\nq1,a1,n1,n2\nq2,a2,,n3\nq3,a3,,\n")
    table = pairs(path, "question, answer, neg_a, neg_b")
    assert table.negatives == [["n1", "n2"], ["n3"], []]
    assert table.columns == ("question", "answer", "neg_a", "neg_b")
    assert table.source == str(path)
    assert pairs(str(path), ["question", "answer"]).negatives == [[], [], []]


def test_a_pair_table_passes_through():
    table = pairs(DICTS)
    assert pairs(table) is table


# Columns.


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["positive", "anchor", "negative"], ("anchor", "positive", "negative")),
        (["Answer", "Question"], ("Question", "Answer")),
        (["document", "query", "title"], ("query", "document")),
        (["sentence1", "sentence2", "comment"], ("sentence1", "sentence2")),
        (["anchor", "positive", "negative_1", "negative_2"], ("anchor", "positive", "negative_1", "negative_2")),
        (["id", "docstring", "code", "url"], ("docstring", "code")),
    ],
)
def test_columns_that_leave_no_doubt_are_found(names, found):
    rows = [{name: f"{name} {i}" for name in names} for i in range(3)]
    table = pairs(rows)
    assert table.columns == found
    assert table.queries[1] == f"{found[0]} 1"


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": "x", "b": "y", "c": "z"}],
        [{"text": "x", "label": "cat"}],
        [{"text": "x", "weight": "1.5"}],
        [{"text": "x", "rank": "3"}],
        [{"text": "x"}],
    ],
)
def test_columns_in_doubt_are_an_error_that_lists_them(rows):
    with pytest.raises(DataError) as caught:
        pairs(rows)
    assert all(name in caught.value.what for name in rows[0])
    assert "columns=" in caught.value.remedy


def test_an_unknown_column_is_named_with_the_nearest(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(d) + "\n" for d in DICTS))
    for source in (path, DICTS, {"question": Q, "answer": A}, pandas.DataFrame(DICTS)):
        with pytest.raises(MissingColumn, match="no column 'qestion'") as caught:
            pairs(source, "qestion,answer")
        assert "did you mean 'question'? the columns are question, answer" in caught.value.remedy
    with pytest.raises(MissingColumn, match="no column 'negativ'"):
        pairs(WITH_NEGATIVES, "question,answer,negativ")


@pytest.mark.parametrize("columns", ["question", "", "question,", [], ["question"], "question,question"])
def test_columns_that_make_no_pair_are_a_usage_error(columns):
    with pytest.raises(UsageError) as caught:
        pairs(DICTS, columns)
    assert caught.value.remedy


def test_tuples_are_named_by_columns_and_refused_if_longer():
    assert pairs([("a", "b"), ("c", "d")], "left,right").columns == ("left", "right")
    with pytest.raises(DataError, match=r"a pair \(left, right\) is needed, not a tuple of 3"):
        pairs([("a", "b", "c"), ("d", "e", "f")], "left,right")


# What cannot be used.


@pytest.mark.parametrize(
    ("source", "what", "where"),
    [
        ([], "no record", "list in hand"),
        ([("a", "b")], "one pair only", ""),
        ([("a", "b")] * 5, "all 5 pairs are equal", ""),
        ([("a", "b"), ("c", "b")], "all 2 documents are the same", "'document'"),
        ([("a", "b"), ("a", "c")], "all 2 queries are the same", "'query'"),
        ([("a", "b"), ("c", "")], "empty", "list[1], column 'document'"),
        ([("a", "b"), ("c", None)], "null", "list[1]"),
        ([("a", "b"), ("c", float("nan"))], "null", "list[1]"),
        ([("a", "b"), ("c", pandas.NA)], "null", "list[1]"),
        ([("a", "b"), ("c", 1.5)], "a number: 1.5", "list[1]"),
        ([("a", "b"), ("c", ["d"])], "a list", "list[1]"),
        ([("a", "b"), ("c",)], "not a tuple of 1", "list[1]"),
        ([("a", "b"), ("c", "d", "e", "f")], "not a tuple of 4", "list[1]"),
        (["a text", "b text"], "not a str", "list[0]"),
        ([("a", "b"), ("c", "d", 3)], "a text or a list of texts", "column 'negatives'"),
        ({"question": ["a", "b"], "answer": ["c"]}, "different lengths: question 2, answer 1", "dict"),
        ({"question": "abc", "answer": "def"}, "a str, not a list", "column 'question'"),
        (pandas.DataFrame([["a", "b"]], columns=["x", "x"]), "two columns are named 'x'", "DataFrame"),
    ],
)
def test_data_in_hand_that_cannot_be_used(source, what, where):
    with pytest.raises(DataError) as caught:
        pairs(source)
    assert what in caught.value.what
    assert where in caught.value.where
    assert caught.value.remedy


def test_a_source_of_a_wrong_type_is_a_usage_error():
    with pytest.raises(UsageError, match="data of type int gives no pairs"):
        pairs(5)
    with pytest.raises(DataError, match="no such file"):
        pairs("nowhere.jsonl")


def test_equal_documents_are_fine_with_explicit_negatives():
    assert len(pairs([("a", "b", "x"), ("c", "b", "y")])) == 2


def test_empty_texts_are_bad_records(tmp_path):
    rows = [{"question": f"q{i}", "answer": f"a{i}"} for i in range(200)]
    rows[3]["answer"] = " \n"
    with pytest.raises(DataError, match="empty"):
        pairs(rows)
    table = pairs(rows, on_bad="skip", bad_records=tmp_path / "bad.jsonl")
    assert len(table) == 199
    assert "a3" not in table.documents
    assert "1 bad records were left out" in table.notes[0].what
    assert "list[3]" in (tmp_path / "bad.jsonl").read_text()


def test_a_source_without_one_good_record_says_what_is_wrong_with_the_first(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("no json\nnor this\n")
    with pytest.raises(DataError, match="no JSON") as caught:
        pairs(path)
    assert "line 1" in caught.value.where


# Ids, notes.


def test_equal_texts_share_an_id_on_both_sides():
    table = pairs([("a", "x"), ("b", "x"), ("a", "y"), ("x", "z")])
    query, document = table.query_id, table.document_id
    assert query.dtype == document.dtype == table.record.dtype == np.int64
    assert table.record.tolist() == [0, 1, 2, 3]
    same_query, same_document = query[:, None] == query, document[:, None] == document
    query_is_document = query[:, None] == document
    excluded = same_query | same_document | query_is_document
    expected = {(0, 1), (1, 0), (0, 2), (2, 0), (3, 0), (3, 1)}
    assert {(i, j) for i, j in np.argwhere(excluded).tolist() if i != j} == expected
    # With record numbers alone none of these would be excluded.
    assert not (table.record[:, None] == table.record)[~np.eye(4, dtype=bool)].any()


def test_ids_are_those_of_the_rows_of_the_library():
    texts = ["", "a", "ä", "日本語", "\ud800", "a" * 1000]
    assert string_ids(texts).tolist() == rows(torch.zeros(len(texts), 1), text=texts).columns["text"].tolist()
    assert string_ids([]).shape == (0,)
    assert len(set(string_ids(texts).tolist())) == len(texts)


def test_hard_negatives_that_are_right_answers_are_dropped():
    table = pairs([("a", "x", ["x", "y", "n"]), ("a", "y"), ("b", "z", ["x"])])
    assert table.negatives == [["n"], [], ["x"]]
    assert "2 hard negatives are a right answer" in table.notes[0].what
    assert pairs([("a", "x", ["n"]), ("b", "z", ["x"])]).notes == ()


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ([("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("e", "y")], "only 2 different documents in 5 pairs"),
        ([("a", "x"), ("a", "y"), ("a", "z"), ("b", "w"), ("a", "v")], "only 2 different queries in 5 pairs"),
        ([("a", "x"), ("a", "x"), ("b", "y"), ("c", "z")], "1 of 4 pairs repeat"),
        ([("a", "a"), ("b", "y"), ("c", "z")], "in 1 of 3 pairs the query is the document"),
    ],
)
def test_what_is_odd_is_noted(source, part):
    notes = pairs(source).notes
    assert len(notes) == 1
    assert part in str(notes[0])


def test_the_fingerprint_depends_on_every_text_and_on_where_it_ends():
    tables = [
        [("ab", "c"), ("d", "e")],
        [("a", "bc"), ("d", "e")],
        [("d", "e"), ("ab", "c")],
        [("ab", "c", "n"), ("d", "e")],
        [("ab", "c"), ("d", "e", "n")],
        [("ab", "c", ["n", "m"]), ("d", "e")],
        [("ab", "c", ["nm"]), ("d", "e")],
        [("ab", "c", ["n", "m"]), ("d", "e"), ("f", "g")],
        [("ab", "c"), ("n", "m"), ("d", "e"), ("f", "g")],
    ]
    prints = [pairs(t).fingerprint for t in tables]
    assert len(set(prints)) == len(prints)
    assert prints[0] == pairs({"query": ["ab", "d"], "document": ["c", "e"]}).fingerprint
    assert len(prints[0]) == 64


def test_take_keeps_what_belongs_together():
    table = pairs(WITH_NEGATIVES).take(np.array([2, 0]))
    assert contents(table) == ([Q[2], Q[0]], [A[2], A[0]], [N[2], N[0]])
    assert table.query_id.tolist() == string_ids([Q[2], Q[0]]).tolist()
