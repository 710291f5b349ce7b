"""An index in files that was damaged, cut off or changed is named and never searched."""

from __future__ import annotations

import json
import sqlite3

import pytest

from nearfar.core.errors import DataError, NearfarError
from nearfar.search.index import Index
from small_index import MODEL, rows, vectors


def opened(directory, **options) -> NearfarError:
    with pytest.raises(DataError) as caught:
        Index.open(directory, **options)
    assert str(directory) in caught.value.where
    assert caught.value.remedy
    return caught.value


@pytest.fixture(params=["float32", "bits"])
def place(tmp_path, request):
    Index.build(tmp_path / "index", vectors(), rows(), model=MODEL, dtype=request.param).close()
    assert len(Index.open(tmp_path / "index")) == 40
    return tmp_path / "index"


def test_what_is_no_index(tmp_path):
    assert "no such directory" in opened(tmp_path / "nowhere").what
    assert "no index" in opened(tmp_path).what


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udcff", '{"format": "other"}', "[" * 200_000, "9" * 5000])
def test_a_damaged_manifest(place, text):
    (place / "index.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert opened(place).what.startswith(("the index is damaged", "this is no nearfar index"))


def test_an_absurdly_large_manifest(place):
    with open(place / "index.json", "ab") as file:
        file.truncate(17 << 20)
    assert "damaged" in opened(place).what


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"version": 1}, "format version 1; this nearfar reads version 2"),
        ({"version": "2"}, "format version '2'"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"dtype": ["int8"]}, "dtype is"),
        ({"dimension": "8"}, "dimension is '8'"),
        ({"dimension": 0}, "dimension is 0"),
        ({"dimension": True}, "dimension is True"),
        ({"dimension": 80}, "cut off"),
        ({"dimension": 7}, "checksum"),
        ({"model": None}, "model is missing"),
        ({"about": []}, "about is missing or of a wrong type"),
    ],
)
def test_a_manifest_that_says_something_else(place, changes, part):
    stored = json.loads((place / "index.json").read_text())
    (place / "index.json").write_text(json.dumps(stored | changes))
    assert part in opened(place).what


def test_vectors_that_are_missing_cut_off_or_changed(place):
    for path in sorted(place.glob("vectors.*")):
        whole = path.read_bytes()
        path.unlink()
        assert "missing" in opened(place).what
        path.write_bytes(whole[:-5])
        assert "cut off" in opened(place, verify=False).what
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert "checksum" in opened(place).what
        path.write_bytes(whole + b"what a killed writer left")
        assert len(Index.open(place)) == 40


def test_rows_that_are_missing_cut_off_or_changed(place):
    path = place / "rows.sqlite"
    whole = path.read_bytes()
    path.unlink()
    assert "missing" in opened(place).what
    for content in (b"", b"x" * 5000, whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert "damaged" in opened(place).what, content[:10]
    path.write_bytes(whole.replace(b'"name": "row 7"', b'"name": "row 8"'))
    assert "checksum" in opened(place).what
    path.write_bytes(whole)
    assert len(Index.open(place)) == 40


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        ("UPDATE meta SET value = 39 WHERE name = 'slots'", "39 vectors count, 40 are accounted for"),
        ("DELETE FROM meta", "does not say how many rows"),
        ("DELETE FROM segments", "0 are accounted for"),
        ("UPDATE rows SET slot = 99 WHERE slot = 5", "row 99"),
        ("UPDATE rows SET row = '[1]' WHERE slot = 5", "checksum"),
        ("DROP TABLE rows", "no such table"),
    ],
)
def test_rows_that_say_something_else(place, statement, part):
    with sqlite3.connect(place / "rows.sqlite") as connection:
        connection.execute(statement)
    connection.close()
    assert part in opened(place).what


def test_nothing_of_an_index_is_ever_unpickled(place):
    import pickle

    for path in place.glob("vectors.*"):
        path.write_bytes(pickle.dumps({"a": 1}) * 1000)
    assert "checksum" in opened(place).what
