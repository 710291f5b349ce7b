"""Reading files: every format gives the same records, and everything that is wrong is named with file, line and remedy."""

from __future__ import annotations

import gzip
import json
import os

import pyarrow
import pyarrow.parquet
import pytest

from nearfar.core.errors import DataError, NearfarError, ResourceError
from nearfar.data import lines
from nearfar.data.bad_records import BadRecords
from nearfar.data.readers import read
from nearfar.data.record import MissingColumn

PAIR = {"question": "text", "answer": "text"}
ROWS = [
    {"question": "Wie heißt es, bitte?", "answer": 'he said "hi"'},
    {"question": "two\nlines", "answer": "日本語, with a comma"},
    {"question": "tab\there", "answer": "last"},
]


def write_jsonl(path, rows=ROWS, opened=open):
    with opened(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path


def write_delimited(path, rows=ROWS, delimiter=",", opened=open):
    import csv

    with opened(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path, rows=ROWS):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


WRITERS = {
    "a.jsonl": write_jsonl,
    "a.ndjson": write_jsonl,
    "a.b.jsonl.gz": lambda p: write_jsonl(p, opened=gzip.open),
    "a.csv": write_delimited,
    "a.CSV": write_delimited,
    "a.csv.gz": lambda p: write_delimited(p, opened=gzip.open),
    "a.tsv": lambda p: write_delimited(p, delimiter="\t"),
    "a.tsv.gz": lambda p: write_delimited(p, delimiter="\t", opened=gzip.open),
    "a.parquet": write_parquet,
}


def failure(path, columns=PAIR, **policy) -> NearfarError:
    """The error of reading a file, which must say what, where and what to do."""
    with pytest.raises(NearfarError) as caught:
        list(read(path, columns, bad=BadRecords(**policy)))
    error = caught.value
    assert error.what
    assert path.name in error.where
    assert error.remedy
    return error


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_records(tmp_path, name):
    path = WRITERS[name](tmp_path / name)
    assert [r.values for r in read(path)] == ROWS
    assert [r.values for r in read(path, ["answer"])] == [{"answer": r["answer"]} for r in ROWS]
    # A reader that cut lines before it looked at quotes would see more records than there are.
    if "csv" in name:
        assert len(list(lines.lines(path))) - 1 > len(ROWS)


@pytest.mark.parametrize(("name", "numbers"), [("a.jsonl", [1, 2, 3]), ("a.csv", [2, 3, 5]), ("a.parquet", [1, 2, 3])])
def test_records_know_their_place(tmp_path, name, numbers):
    path = WRITERS[name](tmp_path / name)
    records = list(read(path))
    assert [r.number for r in records] == numbers
    assert records[2].where == f"{path}, {'row' if name == 'a.parquet' else 'line'} {numbers[2]}"


def test_a_byte_order_mark_blank_lines_and_windows_newlines_are_no_errors(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"question": "a", "answer": "b"}\r\n\r\n{"question": "c", "answer": "d"}')
    assert [(r.number, r.values["question"]) for r in read(path, PAIR)] == [(1, "a"), (3, "c")]
    table = tmp_path / "a.csv"
    table.write_bytes(b"\xef\xbb\xbfquestion,answer\r\n\r\na,b\r\n")
    assert [(r.number, r.values) for r in read(table)] == [(3, {"question": "a", "answer": "b"})]


BAD_BYTES = {
    # name: (content, part of what, part of where, part of remedy)
    "empty.jsonl": (b"", "empty", "empty.jsonl", "records"),
    "empty.csv": (b"", "empty", "empty.csv", "records"),
    "empty.parquet": (b"", "empty", "empty.parquet", "records"),
    "blank.jsonl": (b"\n\n \n", "no record", "blank.jsonl", "records"),
    "list.jsonl": (b'["a", "b"]\n', "list, not an object", "line 1", "object"),
    "string.jsonl": (b'{"question":"a","answer":"b"}\n"c"\n', "str, not an object", "line 2", "object"),
    "cut.jsonl": (b'{"question":"a","answer":"b"}\n{"question":"c","ans', "cut off", "line 2", "delete its last line"),
    "broken.jsonl": (b'{"question":"a","answer":}\n{"a":1}\n', "no JSON", "line 1", "one object a line"),
    "deep.jsonl": (b'{"question":' + b"[" * 200_000 + b"\n", "cannot be read as JSON", "line 1", "nesting"),
    "digits.jsonl": (b'{"question":' + b"9" * 5000 + b"}\n", "cannot be read as JSON", "line 1", "absurd"),
    "utf8.jsonl": (
        b'{"question":"a","answer":"b"}\n{"question":"caf\xe9"}\n',
        "byte 0xe9 at byte 16",
        "line 2",
        "iconv",
    ),
    "utf16.jsonl": ('{"question": "a"}\n'.encode("utf-16"), "UTF-16", "utf16.jsonl", "UTF-8"),
    "sheet.csv": (b"PK\x03\x04rest", "spreadsheet", "sheet.csv", "csv"),
    "packed.jsonl": (gzip.compress(b'{"a": 1}\n'), "gzipped", "packed.jsonl", ".gz"),
    "notpacked.jsonl.gz": (b'{"a": 1}\n', "gzip", "notpacked.jsonl.gz", "again"),
    "cut.jsonl.gz": (gzip.compress(os.urandom(4000).hex().encode())[:-2000], "gzip", "cut.jsonl.gz", "again"),
    "number.jsonl": (b'{"question":"a","answer":3}\n', "a number: 3", "line 1, column 'answer'", "text"),
    "bool.jsonl": (b'{"question":"a","answer":true}\n', "true or false", "column 'answer'", "text"),
    "inner.jsonl": (b'{"question":["a"],"answer":"b"}\n', "a list: ['a']", "column 'question'", "text"),
    "null.jsonl": (b'{"question":"a","answer":null}\n', "null", "column 'answer'", "leave the record out"),
    "void.jsonl": (b'{"question":"a","answer":" "}\n', "empty", "line 1, column 'answer'", "fill"),
    "half.jsonl": (b'{"question":"a","answer":"\\ud800x"}\n', "surrogate", "column 'answer'", "UTF-8"),
    "missing.jsonl": (b'{"qestion":"a","answer":"b"}\n', "no column 'question'", "line 1", "did you mean 'qestion'"),
    "missing.csv": (b"qestion,answer\na,b\n", "no column 'question'", "line 2", "the columns are qestion, answer"),
    "header.csv": (b"question,answer\n", "a header and no record", "header.csv", "records"),
    "twice.csv": (b"answer,answer\na,b\n", "'answer' twice", "line 1", "own name"),
    "noheader.csv": (b"\n\na,b\n", "no header", "line 1", "name the columns"),
    "semicolon.csv": (b"question;answer\na;b\n", "semicolon", "line 1", "commas"),
    "ragged.csv": (b"question,answer\na,b\nc,d,e\n", "3 fields, the header 2", "line 3", "quote"),
    "short.tsv": (b"question\tanswer\na\n", "1 fields, the header 2", "line 2", "all fields"),
    "quote.csv": (b'question,answer\na,"b\nc,d\n', "unexpected end", "line 2", "close every quote"),
    "afterquote.csv": (b'question,answer\n"a"b,c\n', "cannot be read", "line 2", "double"),
    "badheader.csv": (b'"question,answer\n', "header cannot be read", "line 1", "quote"),
    "utf8.csv": (b"question,answer\na,b\nc,\xff\n", "byte 0xff at byte 2", "line 3", "iconv"),
    "utf8.header.csv": (b"question,\xff\na,b\n", "broken UTF-8", "line 1", "iconv"),
    "void.csv": (b"question,answer\na,\n", "empty", "line 2, column 'answer'", "fill"),
    "data.xlsx": (b"PK", "'.xlsx' cannot be read", "data.xlsx", ".csv"),
    "data.json": (b"[]", "'.json' cannot be read", "data.json", ".jsonl"),
    "noending": (b"x", "'noending' cannot be read", "noending", ".jsonl"),
    "data.parquet.gz": (b"x", "cannot be read", "data.parquet.gz", ".jsonl.gz"),
    "text.parquet": (b"question,answer\na,b\n", "corrupt", "text.parquet", "again"),
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_bad_content_is_named(tmp_path, name):
    content, what, where, remedy = BAD_BYTES[name]
    path = tmp_path / name
    path.write_bytes(content)
    error = failure(path)
    assert isinstance(error, DataError)
    assert error.exit_code == 3
    assert what in error.what
    assert where in error.where
    assert remedy in error.remedy


def test_a_whole_last_line_without_a_newline_is_not_taken_for_cut_off(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"question":"a","answer":"b"}')
    assert len(list(read(path, PAIR))) == 1


def test_the_byte_offset_of_broken_text_is_right(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": "ä"}\n'.encode() + b'{"a": "\xc3("}\n')
    offset = path.read_bytes().index(b"\xc3(")
    assert f"(byte {offset} of the file)" in failure(path, ["a"]).what


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e999", "1e39", "1" + "0" * 400, "null", "true", '"x"', "[1]"]
)
def test_a_number_must_be_finite_and_fit_32_bits(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_text('{"score": 1.5}\n{"score": ' + text + "}\n")
    error = failure(path, {"score": "number"})
    assert "number" in error.what
    assert "line 2, column 'score'" in error.where
    assert len(error.what) < 200


def test_numbers_are_read_from_csv_and_parquet(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("score\n1.5\n-2\n")
    assert [r.values["score"] for r in read(table, {"score": "number"})] == [1.5, -2.0]
    path = write_parquet(tmp_path / "a.parquet", [{"score": 1.5}, {"score": float("nan")}])
    assert "row 2, column 'score'" in failure(path, {"score": "number"}).where


def test_an_absurdly_long_text_or_line_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"question": "a" * 10_000_001, "answer": "b"}))
    assert "10,000,001 characters" in failure(path).what
    monkeypatch.setattr(lines, "MAX_LINE", 1000)
    assert "longer than" in failure(path).what
    path.write_text(json.dumps({"question": "a" * 900, "answer": "b"}))
    assert len(list(read(path, PAIR))) == 1


def test_missing_files_directories_and_forbidden_ones(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "pairs.jsonl")
    error = failure(tmp_path / "pair.jsonl")
    assert "no such file" in error.what
    assert "pairs.jsonl" in error.remedy
    assert "does not exist either" in failure(tmp_path / "nowhere" / "a.jsonl").remedy
    assert "directory" in failure(tmp_path).what

    def forbidden(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lines, "_opened", forbidden)
    error = failure(tmp_path / "pairs.jsonl")
    assert isinstance(error, ResourceError)
    assert "Permission denied" in error.what


def test_a_damaged_parquet_file_is_named(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [{"question": f"q{i}" * 50, "answer": f"a{i}"} for i in range(5000)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "corrupt" in failure(path).what
    path.write_bytes(whole[:1000] + bytes(2000) + whole[3000:])
    assert "corrupt" in failure(path).what
    path.write_bytes(whole)
    assert len(list(read(path, PAIR))) == 5000


def test_a_parquet_file_without_rows_or_the_column(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"question": pyarrow.array([], pyarrow.string())}), path)
    assert "no record" in failure(path).what
    error = failure(write_parquet(path), ["questions"])
    assert isinstance(error, MissingColumn)
    assert "did you mean 'question'" in error.remedy


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    error = failure(path)
    assert isinstance(error, ResourceError)
    assert "nearfar[parquet]" in error.remedy


def test_optional_columns_may_be_missing_from_records_but_not_from_all(tmp_path):
    kinds = PAIR | {"negative": "texts"}
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [
            {"question": "a", "answer": "b"},
            {"question": "c", "answer": "d", "negative": "e"},
            {"question": "f", "answer": "g", "negative": ["h", "i"]},
            {"question": "j", "answer": "k", "negative": None},
        ],
    )
    assert [r.values["negative"] for r in read(path, kinds)] == [[], ["e"], ["h", "i"], []]
    error = failure(path, PAIR | {"negatve": "texts"})
    assert "no column 'negatve'" in error.what
    bad = write_jsonl(tmp_path / "b.jsonl", [{"question": "a", "answer": "b", "negative": ["c", 4]}])
    assert "a number: 4" in failure(bad, kinds).what
    bad = write_jsonl(tmp_path / "c.jsonl", [{"question": "a", "answer": "b", "negative": 4}])
    assert "list of texts" in failure(bad, kinds).what


# Skipping.


def test_skipping_counts_and_writes_what_was_bad(tmp_path):
    rows = [json.dumps({"question": f"q{i}", "answer": f"a{i}"}) for i in range(300)]
    rows[7], rows[100] = '{"question": 5, "answer": "x"}', "not json"
    path, listed = tmp_path / "a.jsonl", tmp_path / "bad_records.jsonl"
    path.write_text("\n".join(rows) + "\n")
    listed.write_text("from an older run\n")
    bad = BadRecords("skip", listed)
    good = list(read(path, PAIR, bad=bad))
    assert len(good) == 298
    assert (bad.count, bad.seen) == (2, 300)
    written = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [w["where"] for w in written] == [f"{path}, line 8, column 'question'", f"{path}, line 101"]
    assert all(w["reason"] and w["remedy"] for w in written)
    # The same file under the default policy raises, so the two policies do differ.
    assert "line 8" in failure(path).where


def test_skipping_too_many_is_an_error(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"question": "q" if i % 20 else "", "answer": "a"} for i in range(1000)])
    with pytest.raises(DataError, match=r"50 of 1,000 records .* more than the 1.0% allowed"):
        list(read(path, PAIR, bad=BadRecords("skip")))
    assert len(list(read(path, PAIR, bad=BadRecords("skip", share=0.05)))) == 950


def test_a_hopeless_source_is_given_up_early(tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"question": "q" if i < 10 else "", "answer": "a"} for i in range(30_000)]
    )
    bad = BadRecords("skip", share=0.1)
    with pytest.raises(DataError, match="of the first 10,000 records"):
        list(read(path, PAIR, bad=bad))
    assert bad.seen == 10_000


def test_a_misspelt_column_raises_under_every_policy(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl")
    with pytest.raises(MissingColumn):
        list(read(path, {"qestion": "text"}, bad=BadRecords("skip", share=1.0)))


@pytest.mark.parametrize(
    ("name", "content", "broken"),
    [
        ("a.csv", b'question,answer\na,b\nbad\xff,"x\ny"\nc,"d""e"\nragged\n"f"g,h\n"\xff"g,h\ni,j\n', [3, 8]),
        (
            "a.jsonl",
            b'{"question":"a","answer":"b"}\n\xff\n{"question":"c","answer":"d\\"e"}\n1\n{\n{"question":"i","answer":"j"}',
            [2],
        ),
    ],
)
def test_what_follows_a_bad_record_is_read_as_if_it_were_not_there(tmp_path, name, content, broken):
    path = tmp_path / name
    path.write_bytes(content)
    bad = BadRecords("skip", share=0.6)
    got = [tuple(r.values.values()) for r in read(path, PAIR, bad=bad)]
    assert got == [("a", "b"), ("c", 'd"e'), ("i", "j")]
    assert bad.count == 2 + len(broken)
    lines_told = [n for n in range(1, 10) if any("broken UTF-8" in r and f", line {n}]" in r for r in bad.reasons)]
    assert lines_told == broken


def test_bad_records_that_cannot_be_written(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"question": "", "answer": "a"}])
    with pytest.raises(ResourceError, match="cannot be written"):
        list(read(path, PAIR, bad=BadRecords("skip", tmp_path / "nowhere" / "bad.jsonl")))


def test_reading_imports_neither_torch_nor_pyarrow(tmp_path, in_process):
    path = write_jsonl(tmp_path / "a.jsonl")
    code = (
        "import sys, nearfar.data.pairs, nearfar.data.order, nearfar.data.split, nearfar.search.index\n"
        f"print(len(nearfar.data.pairs.pairs({str(path)!r})), sorted({{'torch', 'pyarrow', 'pandas'}} & set(sys.modules)))"
    )
    done = in_process("-c", code)
    assert done.stdout == "3 []\n", done.stderr
