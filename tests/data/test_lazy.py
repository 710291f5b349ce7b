"""Corpora on disk: the same records as reading all, in any order, from any format and any number of files; in bounded memory."""

from __future__ import annotations

import json
import os
from multiprocessing.reduction import ForkingPickler

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from nearfar.core.errors import NearfarError, ResourceError, UsageError
from nearfar.core.ids import string_ids
from nearfar.data import lazy, shards
from nearfar.data.bad_records import BadRecords
from nearfar.data.lazy import lazy_pairs, lazy_records
from nearfar.data.pairs import pairs
from nearfar.data.readers import read

ROWS = [
    {
        "question": f'what is{" very" * (i % 7)} {i}, bitte?\nsaid ä日 "{i}"',
        "answer": f'it, is "{i}"' + "\n\nx" * (i % 3),
    }
    for i in range(50)
]
PAIR = {"question": "text", "answer": "text"}


def jsonl(path, rows=ROWS):
    # Blank lines and a byte order mark must not move the offsets.
    text = "\ufeff" + "".join(json.dumps(r, ensure_ascii=False) + "\n" + "\n  \n" * (i % 2) for i, r in enumerate(rows))
    path.write_text(text, "utf-8")
    return path


def delimited(path, rows=ROWS, delimiter=","):
    import csv

    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        for i, row in enumerate(rows):
            writer.writerow(row)
            file.write("\n" * (i % 2))
    return path


def parquet(path, rows=ROWS):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)
    return path


MAKERS = {
    "a.jsonl": jsonl,
    "a.ndjson": jsonl,
    "a.csv": delimited,
    "a.tsv": lambda p, rows=ROWS: delimited(p, rows, "\t"),
    "a.parquet": parquet,
}


def failure(call) -> NearfarError:
    with pytest.raises(NearfarError) as caught:
        call()
    assert caught.value.what
    assert caught.value.remedy
    return caught.value


# The same records.


@pytest.mark.parametrize("name", MAKERS)
def test_any_order_gives_what_reading_gives(tmp_path, name):
    path = MAKERS[name](tmp_path / name)
    records = lazy_records(path)
    assert [r.values for r in read(path)] == ROWS
    index = np.random.default_rng(0).integers(0, 50, 200)
    assert records.many("question", index) == [ROWS[i]["question"] for i in index]
    assert records.many("answer", index) == [ROWS[i]["answer"] for i in index]
    assert [records.fields["answer"][i] for i in (49, 0, -1)] == [ROWS[i]["answer"] for i in (49, 0, 49)]
    assert list(records.fields["question"][3:40:9]) == [r["question"] for r in ROWS[3:40:9]]
    assert list(records.fields["question"]) == [r["question"] for r in ROWS]
    assert records.take([5, 2]).many("question", [1, 0, 1]) == [ROWS[i]["question"] for i in (2, 5, 2)]
    # Lines as they stand are no records of csv: cutting at newlines would be seen.
    assert ("sv" in name) <= (path.read_bytes().count(b"\n") > 150)
    with pytest.raises(IndexError):
        records.fields["answer"][50]


def test_a_quote_within_a_field_is_no_opening_quote(tmp_path):
    """Counting quotes, the quick way to find the records of csv, fails here."""
    path = tmp_path / "a.csv"
    path.write_text('a,b\n5" pipe,x\n6" pipe,"y\nz"\n7" pipe,w\n', "utf-8")
    assert [r.values for r in read(path)] == [
        {"a": '5" pipe', "b": "x"},
        {"a": '6" pipe', "b": "y\nz"},
        {"a": '7" pipe', "b": "w"},
    ]
    assert list(lazy_records(path).fields["b"]) == ["x", "y\nz", "w"]


def test_several_files_are_one(tmp_path):
    files = [MAKERS[name](tmp_path / f"{i}{name}", ROWS[i * 10 : i * 10 + 10]) for i, name in enumerate(MAKERS)]
    records = lazy_records(files, PAIR, ids=["question"])
    index = np.random.default_rng(0).permutation(50)
    assert records.many("question", index) == [ROWS[i]["question"] for i in index]
    assert records.columns["question"].tolist() == string_ids(r["question"] for r in ROWS).tolist()
    assert "5 files" in records.source


@pytest.mark.parametrize("name", MAKERS)
def test_workers_get_them_by_pickling(tmp_path, name):
    records = lazy_records(MAKERS[name](tmp_path / name), PAIR)
    records.many("question", [3])
    sent = ForkingPickler.loads(ForkingPickler.dumps(records))
    assert sent.many("answer", [7, 3]) == [ROWS[7]["answer"], ROWS[3]["answer"]]
    assert sent.fingerprint == records.fingerprint


# Columns.


def test_ids_numbers_and_labels_are_kept(tmp_path):
    rows = [
        {"text": "ab"[i % 2], "other": "b", "label": i, "group": f"g{i % 3}", "score": i / 2, "mixed": [1, 0.5][i % 2]}
        for i in range(9)
    ]
    records = lazy_records(
        jsonl(tmp_path / "a.jsonl", rows),
        ["text", "other"],
        ids=["text", "other"],
        numbers=["label", "group", "score", "mixed"],
    )
    assert sorted(records.fields) == ["other", "text"]
    assert {k: v.dtype.name for k, v in records.columns.items()} == {
        "text": "int64", "other": "int64", "label": "int64", "group": "int64", "score": "float64", "mixed": "float64"
    }  # fmt: skip
    assert records.columns["label"].tolist() == list(range(9))
    assert records.columns["mixed"].tolist() == [r["mixed"] for r in rows]
    assert records.columns["group"].tolist() == string_ids(r["group"] for r in rows).tolist()
    # One space of ids, as the exclusion of duplicates across sides needs.
    assert (records.columns["text"] == records.columns["other"]).tolist() == [bool(i % 2) for i in range(9)]


def test_numbers_of_csv_are_said_to_be_numbers(tmp_path):
    path = delimited(tmp_path / "a.csv", [{"text": "a", "score": 3}, {"text": "b", "score": 4}])
    assert lazy_records(path, {"text": "text", "score": "number"}, numbers=["score"]).columns["score"].tolist() == [
        3.0,
        4.0,
    ]
    assert lazy_records(path, ["text"], numbers=["score"]).columns["score"].tolist() == string_ids("34").tolist()


@pytest.mark.parametrize("cells", [[1, "a"], ["a", 1], [1, None], [1, float("nan")], [1, [2]], [1, 2**70]])
def test_a_column_of_numbers_says_which_cell_is_none(tmp_path, cells, monkeypatch):
    monkeypatch.setattr(lazy, "CHUNK", 1)
    path = jsonl(tmp_path / "a.jsonl", [{"text": "t", "n": c} for c in cells])
    error = failure(lambda: lazy_records(path, ["text"], numbers=["n"]))
    assert "a.jsonl, line 2, column 'n'" in error.where


def test_pairs_on_disk_are_the_pairs_in_memory(tmp_path):
    rows = [{**r, "negative_1": f"no {i}", "negative_2": None if i % 2 else "nie"} for i, r in enumerate(ROWS)]
    path = jsonl(tmp_path / "a.jsonl", rows)
    table, records = pairs(path), lazy_pairs(path)
    for field, values in (("query", table.queries), ("document", table.documents), ("negatives", table.negatives)):
        assert list(records.fields[field]) == values
    assert (records.columns["query"] == table.query_id).all()
    assert (records.columns["document"] == table.document_id).all()
    assert list(lazy_pairs(path, "answer,question").fields["query"]) == table.documents
    assert "negatives" not in lazy_pairs(path, "answer,question").fields
    assert "one pair" in failure(lambda: lazy_pairs(jsonl(tmp_path / "b.jsonl", ROWS[:1]))).what
    assert "it is not clear" in failure(lambda: lazy_pairs(jsonl(tmp_path / "c.jsonl", [{"a": "x"}]))).what


# Fingerprints.


def test_the_fingerprint_is_of_contents(tmp_path):
    first = lazy_records(jsonl(tmp_path / "a.jsonl"), PAIR).fingerprint
    (tmp_path / "elsewhere").mkdir()
    other = jsonl(tmp_path / "elsewhere" / "b.jsonl")
    os.utime(other, (0, 0))
    assert lazy_records(other, PAIR).fingerprint == first
    changed = [*ROWS[:-1], {"question": "x", "answer": "y"}]
    assert lazy_records(jsonl(tmp_path / "c.jsonl", changed), PAIR).fingerprint != first
    assert lazy_records(other, {"question": "text"}).fingerprint != first
    halves = [jsonl(tmp_path / "d.jsonl", ROWS[:25]), jsonl(tmp_path / "e.jsonl", ROWS[25:])]
    assert lazy_records(halves).fingerprint != lazy_records(halves[::-1]).fingerprint


# What is wrong.


def test_a_bad_record_is_named_when_it_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": 2}\n{"text"\n{"other": "x"}\n', "utf-8")
    records = lazy_records([jsonl(tmp_path / "b.jsonl", [{"text": "zero"}]), path], {"text": "text"})
    assert records.many("text", [1, 0]) == ["one", "zero"]
    for number, where, what in (
        (2, "line 3, column 'text'", "a text is needed"),
        (3, "line 4", "no JSON"),
        (4, "line 5", "no column"),
    ):
        error = failure(lambda number=number: records.many("text", [0, number]))
        assert f"a.jsonl, {where}" in error.where
        assert what in error.what


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"a,b\nx,y\nx\nx,y\n", 3, "1 fields, the header 2"),
        (b'a,b\nx,y\n"p\nq"r,s\nx,y\n', 3, "cannot be read"),
        (b'a,b\nx,y\n\n"p\n\xffq",s\nx,y\n', 5, "broken UTF-8"),
        (b'a,b\nx,y\nx,"never closed\nx,y\n', 3, "cannot be read"),
    ],
)
def test_bad_rows_of_csv_are_named_as_reading_names_them(tmp_path, content, line, what):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    records = lazy_records(path)
    assert records.many("a", [0]) == ["x"]
    error = failure(lambda: records.many("a", [1]))
    assert f"a.csv, line {line}" in error.where
    assert what in error.what
    read_error = failure(lambda: list(read(path)))
    assert (read_error.what, read_error.where) == (error.what, error.where)


def test_bad_records_are_left_out_beforehand(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": 2}\n{"text": "three"}\nnonsense\n{"text": "five"}\n', "utf-8")
    bad = BadRecords("skip", tmp_path / "bad.jsonl", share=0.5)
    records = lazy_records(path, {"text": "text"}, ids=["text"], bad=bad)
    assert list(records.fields["text"]) == ["one", "three", "five"]
    assert records.columns["text"].tolist() == string_ids(["one", "three", "five"]).tolist()
    assert bad.count == 2
    assert "2 bad records" in records.notes[0].what
    assert [
        json.loads(line)["where"].rpartition(" ")[2] for line in (tmp_path / "bad.jsonl").read_text().splitlines()
    ] == ["'text'", "4"]
    assert (
        "more than the 1.0% allowed"
        in failure(lambda: lazy_records(path, {"text": "text"}, bad=BadRecords("skip"))).what
    )
    assert "line 2" in failure(lambda: lazy_records(path, {"text": "text"}, ids=["text"])).where


@pytest.mark.parametrize("name", MAKERS)
def test_a_changed_or_lost_shard_is_named(tmp_path, name):
    files = [jsonl(tmp_path / "good.jsonl"), MAKERS[name](tmp_path / name)]
    records = lazy_records(files)
    stat = files[1].stat()
    with open(files[1], "ab") as file:
        file.write(b"\n")
    error = failure(lambda: records.many("answer", [0, 60]))
    assert str(files[1]) in error.where
    assert "changed" in error.what
    assert records.many("answer", [3]) == [ROWS[3]["answer"]]
    os.truncate(files[1], stat.st_size)
    os.utime(files[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert records.many("answer", [60]) == [ROWS[10]["answer"]]
    files[1].unlink()
    error = failure(lambda: records.many("answer", [61]))
    assert isinstance(error, ResourceError)
    assert str(files[1]) in error.where


def test_what_cannot_be_opened(tmp_path):
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(b"x")
    assert isinstance(failure(lambda: lazy_records(packed)), UsageError)
    assert "no such file" in failure(lambda: lazy_records([jsonl(tmp_path / "a.jsonl"), tmp_path / "b.jsonl"])).what
    assert "cannot be read by record" in failure(lambda: lazy_records(jsonl(tmp_path / "a.txt"))).what
    assert "no files" in failure(lambda: lazy_records([])).what
    assert "no field" in failure(lambda: lazy_records(tmp_path / "a.jsonl", ["answer"], ids=["question"])).what
    (tmp_path / "blank.jsonl").write_text("\n\n")
    assert "no record" in failure(lambda: lazy_records(tmp_path / "blank.jsonl")).what
    (tmp_path / "header.csv").write_text("a,a\n1,2\n")
    assert "twice" in failure(lambda: lazy_records(tmp_path / "header.csv")).what
    (tmp_path / "no.parquet").write_bytes(b"PAR1 but no more")
    assert "corrupt" in failure(lambda: lazy_records(tmp_path / "no.parquet")).what


def test_a_damaged_row_group_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": [os.urandom(2000).hex() for _ in range(30)]})
    pyarrow.parquet.write_table(table, path, row_group_size=10, compression="zstd")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    records = lazy_records(path)
    assert records.many("text", [2]) == table["text"].to_pylist()[2:3]
    error = failure(lambda: records.many("text", [15]))
    assert "corrupt" in error.what
    assert "a.parquet" in error.where


# Data sets of the library `datasets`.


def test_a_map_style_data_set_is_read_by_number():
    source = datasets.Dataset.from_list(ROWS)
    records = lazy_records(source, PAIR, ids=["answer"])
    assert records.many("question", [7, 3]) == [ROWS[7]["question"], ROWS[3]["question"]]
    assert records.columns["answer"].tolist() == string_ids(r["answer"] for r in ROWS).tolist()
    assert lazy_records(datasets.Dataset.from_list(ROWS), PAIR).fingerprint == lazy_records(source, PAIR).fingerprint
    assert lazy_records(datasets.Dataset.from_list(ROWS[::-1]), PAIR).fingerprint != records.fingerprint
    assert lazy_records([source, source]).many("answer", [50]) == [ROWS[0]["answer"]]
    big = datasets.Dataset.from_dict({"text": list(map(str, range(2000)))})
    assert "would not be noticed" in lazy_records(big).notes[0].what
    empty = datasets.Dataset.from_list([{"question": "a", "answer": ""}] * 2)
    assert (
        "datasets.Dataset[1], column 'answer'" in failure(lambda: lazy_records(empty, PAIR).many("answer", [1])).where
    )


def test_a_stream_and_a_dict_of_data_sets_are_refused():
    source = datasets.Dataset.from_list(ROWS)
    error = failure(lambda: lazy_records(source.to_iterable_dataset()))
    assert isinstance(error, UsageError)
    assert "to_json" in error.remedy
    assert 'data["train"]' in failure(lambda: lazy_records(datasets.DatasetDict(train=source))).remedy
    assert "int" in failure(lambda: lazy_records(3)).what


# Memory.

READER = """
import sys
from pathlib import Path
import numpy as np
from nearfar.data.lazy import lazy_pairs
# The most that this process ever held, in MiB; what getrusage tells would begin with that of the parent.
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
before = peak()
records = lazy_pairs(sys.argv[1])
order = np.random.default_rng(0).permutation(len(records))
for start in range(0, 3_000, 200):
    records.many("document", order[start : start + 200])
print(peak() - before)
kept = [records.many("document", order[start : start + 200]) for start in range(0, int(sys.argv[2]), 200)]
print(peak() - before)
"""


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_file_is_read_in_a_fraction_of_its_size(tmp_path, in_process, name):
    path = tmp_path / name
    text = "lorem ipsum " * 400
    with open(path, "w", encoding="utf-8") as file:
        file.write("question,answer\n" * (name == "a.csv"))
        row = "what is {0},{0} {1}\n" if name == "a.csv" else '{{"question": "what is {0}", "answer": "{0} {1}"}}\n'
        file.writelines(row.format(i, text) for i in range(12_000))
    assert path.stat().st_size > 55e6
    done = in_process("-c", READER, str(path), "8000" if name == "a.jsonl" else "0")
    assert done.returncode == 0, done.stderr
    grown, if_kept = map(float, done.stdout.split())
    assert grown < 25
    assert (if_kept > 30) == (name == "a.jsonl")  # keeping what was read is seen


def test_parquet_keeps_few_row_groups_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CACHE", 100_000)
    path = tmp_path / "a.parquet"
    rows = [{"text": f"{i} " + "x" * 1000} for i in range(1000)]
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(rows), path, row_group_size=50, compression="none", use_dictionary=False
    )
    records = lazy_records(path)
    assert "write it as jsonl" in records.notes[0].what
    index = np.random.default_rng(0).permutation(1000)
    for start in range(0, 1000, 100):
        assert records.many("text", index[start : start + 100]) == [rows[i]["text"] for i in index[start : start + 100]]
    kept = records.fields["text"].table.shards[0]._kept
    assert 1 <= len(kept) <= 2
    assert sum(t.nbytes for t in kept.values()) <= 110_000


def test_a_batch_is_parsed_once_for_all_its_fields(tmp_path, monkeypatch):
    records = lazy_pairs(jsonl(tmp_path / "a.jsonl"))
    calls = []
    original = shards.JsonlShard._read
    monkeypatch.setattr(shards.JsonlShard, "_read", lambda self, *a: calls.append(1) or original(self, *a))
    assert len(records.many("query", [4, 9, 4])) == 3
    assert len(records.many("document", [4, 9, 4])) == 3
    assert len(calls) == 2  # record 4 once, too
    records.many("document", [9, 4])
    assert len(calls) == 4
