"""Shards of a corpus: joined they are the vectors of the whole, a kill costs a chunk, and nothing wrong is ever merged."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT
from nearfar.cli.main import main
from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError
from nearfar.core.model import Model
from nearfar.data.lazy import lazy_records
from nearfar.encoders.static import Static
from nearfar.encoders.transformer import Transformer
from nearfar.search import shard_files
from nearfar.search.encode_shard import encode_shard
from nearfar.search.index import Index
from nearfar.search.merge_shards import all_shards, merge_shards
from nearfar.search.shard_files import ShardNumber, read_shard
from small_world import world

OF, CHUNK = 5, 9
TEXTS = [answer + " again" * (n % 7) for n, (_, answer) in enumerate(world())]


def model(seed=0):
    encoder = Static.fit({"document": TEXTS}, dimension=16, buckets=64, seed=seed)
    return Model({"query": encoder, "document": encoder}).eval()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus and a model on disk."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "my.jsonl").write_text("".join(json.dumps({"id": n, "answer": t}) + "\n" for n, t in enumerate(TEXTS)))
    model().save(folder / "model")
    return folder


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda file: None)


def records(place, name="my.jsonl", column="answer"):
    return lazy_records(place / name, {column: "text"})


def shard(place, out, number, of=OF, by=None, **options):
    by = by or Model.load(place / "model")
    options = {"side": "document", "chunk": CHUNK, "command": "nearfar encode MINE"} | options
    return encode_shard(by, records(place), "answer", out, ShardNumber(number, of), **options)


@pytest.fixture(scope="module")
def five(place, tmp_path_factory):
    """All shards; tests take copies."""
    out = tmp_path_factory.mktemp("five")
    for number in range(1, OF + 1):
        shard(place, out, number)
    return out


@pytest.fixture
def shards(five, tmp_path):
    return shutil.copytree(five, tmp_path / "shards")


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# What is in a shard.


@pytest.mark.parametrize(("total", "of"), [(1, 1), (10, 3), (120, 7), (1_000_003, 16), (16, 16)])
def test_shards_are_equal_runs_without_gap_or_overlap(total, of):
    runs = [ShardNumber(number, of).records(total) for number in range(1, of + 1)]
    assert [i for run in runs[:50] for i in run][:1000] == list(range(min(total, runs[:50][-1].stop)))[:1000]
    assert [run.start for run in runs[1:]] == [run.stop for run in runs[:-1]]
    assert (runs[0].start, runs[-1].stop) == (0, total)
    assert max(map(len, runs)) - min(map(len, runs)) <= 1


@pytest.mark.parametrize("text", ["0/16", "17/16", "3", "3/", "-1/4", "a/b", "", "1/100000", "3 of 16", "٣/١٦"])
def test_what_is_no_shard(text):
    with pytest.raises(UsageError, match="counted from 1"):
        ShardNumber.parse(text)


def test_merged_they_are_the_vectors_of_the_whole(place, shards, tmp_path):
    whole = Model.load(place / "model").encode(TEXTS, side="document")
    merged = merge_shards(shards, tmp_path / "v.npy")
    assert merged.shape == whole.shape
    made = np.load(tmp_path / "v.npy", allow_pickle=False)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, whole)  # a static encoder sums each text by itself: equal to the bit
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards", "v.npy"]
    (swapped := content(shards))["shard-00001-of-00005.npy"] = (shards / "shard-00002-of-00005.npy").read_bytes()
    assert swapped != content(shards), "shards in another order would be seen"


def test_a_transformer_differs_by_rounding_only(place, tmp_path):
    encoder = Transformer.fit({"document": TEXTS}, dimension=16, depth=1, heads=2, max_tokens=32, vocabulary=300)
    mine = Model({"document": encoder}).eval()
    for number in (1, 2, 3):
        shard(place, tmp_path / "s", number, 3, mine)
    merge_shards(tmp_path / "s", tmp_path / "v.npy")
    made, whole = np.load(tmp_path / "v.npy"), mine.encode(TEXTS)
    np.testing.assert_allclose(made, whole, atol=1e-6)
    assert np.abs(made - whole[::-1]).max() > 1e-3, "vectors of other texts would be seen"


def test_a_description_says_what_it_is_of(place, five):
    described = read_shard(five / "shard-00002-of-00005.json")
    common = {
        "model": Model.load(place / "model").fingerprint,
        "data": records(place).fingerprint,
        "column": "answer",
        "side": "document",
        "precision": "float32",
        "total": 120,
    }
    assert described.common == common
    assert (described.first, described.stop, len(described), described.dimension) == (24, 48, 24, 16)
    vectors = np.load(five / "shard-00002-of-00005.npy")
    assert described.sha256 == hashlib.sha256(vectors.tobytes()).hexdigest()


# Killed, and run again.


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(9))
def test_wherever_it_dies_the_next_run_leaves_the_same_bytes(at, place, five, tmp_path, monkeypatch):
    whole = {name: made for name, made in content(five).items() if "00002-of" in name}
    replace, left = os.replace, [at]

    def dies(source, target):
        if not left[0]:
            raise Killed
        left[0] -= 1
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies)
        try:
            shard(place, tmp_path / "s", 2)
            assert at > 7, "24 records in chunks of 9: a plan, three pieces, two files, and both published"
        except Killed:
            complete = tmp_path / "s" / "shard-00002-of-00005.json"
            assert not complete.exists()
    told = []
    shard(place, tmp_path / "s", 2, progress=lambda done, total: told.append((done, total)))
    assert content(tmp_path / "s") == whole
    assert told in ([(9, 24), (18, 24), (24, 24)], [])


def test_work_that_is_done_is_not_done_again(place, tmp_path, monkeypatch):
    mine, asked = Model.load(place / "model"), []
    encode = mine.encode

    def counted(texts, **options):
        asked.append(len(texts))
        if len(asked) == 2:
            raise Killed
        return encode(texts, **options)

    mine.encode = counted
    with pytest.raises(Killed):
        shard(place, tmp_path / "s", 2, by=mine)
    made, there = shard(place, tmp_path / "s", 2, by=mine)
    assert asked == [9, 9, 9, 6], "the second chunk twice, the first once"
    assert not there
    assert shard(place, tmp_path / "s", 2, by=mine) == (made, True)
    assert len(asked) == 4


KILLED = """
import os, signal, sys
from nearfar.cli.main import main
replace, left = os.replace, [int(sys.argv[1])]
def kills(source, target):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    replace(source, target)
os.replace = kills
main(sys.argv[2:])
"""


def test_kill_9_in_the_midst_of_a_shard(place, five, tmp_path, capsys):
    words = ["encode", str(place / "model"), "--data", str(place / "my.jsonl"), "--column", "answer", "--quiet"]
    words += ["--out", str(tmp_path / "s"), "--shard", "2/5", "--chunk", str(CHUNK)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    died = subprocess.run(
        [sys.executable, "-c", KILLED, "3", *words], env=environment, capture_output=True, timeout=120
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    left = sorted(path.name for path in (tmp_path / "s" / "shard-00002-of-00005.work").iterdir())
    assert left[:3] == ["000000.npy", "000001.npy", left[2]]
    assert left[2].startswith("000002.npy.unfinished"), "it died before the third piece had its name"
    assert main(words) == 0
    assert "shard 2/5: records 25 to 48 of 120" in capsys.readouterr().out
    name = "shard-00002-of-00005.npy"
    assert (tmp_path / "s" / name).read_bytes() == (five / name).read_bytes()
    assert len(list((tmp_path / "s").iterdir())) == 2
    assert main(words) == 0
    assert "shard 2/5 is complete already, and left as it is" in capsys.readouterr().out


def test_a_full_disk_costs_nothing_that_was_done(place, five, tmp_path, monkeypatch):
    calls = []

    def full(_):
        calls.append(1)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ResourceError, match="No space left"):
            shard(place, tmp_path / "s", 2)
    left = [path.name for path in (tmp_path / "s" / "shard-00002-of-00005.work").iterdir()]
    assert sorted(left) == ["000000.npy", "000001.npy", "plan.json"]
    shard(place, tmp_path / "s", 2)
    name = "shard-00002-of-00005.npy"
    assert (tmp_path / "s" / name).read_bytes() == (five / name).read_bytes()


# What does not fit.


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"by": "other"}, "model"),
        ({"side": "query"}, "side document then, query now"),
        ({"precision": "bfloat16"}, "precision float32 then, bfloat16 now"),
    ],
)
def test_a_shard_made_otherwise_is_refused_and_left(change, said, place, shards):
    before = content(shards)
    if "by" in change:
        change = {"by": model(seed=1)}
    with pytest.raises(UsageError, match=said) as caught:
        shard(place, shards, 3, **change)
    assert "shard-00003-of-00005.json" in caught.value.where
    assert content(shards) == before


def test_another_column_is_told_as_that(place, shards):
    values = [json.loads(line) for line in (place / "my.jsonl").read_text().splitlines()]
    (shards / "two.jsonl").write_text("".join(json.dumps(v | {"title": v["answer"]}) + "\n" for v in values))
    for column, said in (("title", "column answer then, title now"), ("titel", "there is no column 'titel'")):
        found = lazy_records(shards / "two.jsonl", {column: "text"})
        with pytest.raises(NearfarError, match=said):
            encode_shard(Model.load(place / "model"), found, column, shards, ShardNumber(3, 5), side="document")


def test_unfinished_work_of_another_model_is_refused(place, tmp_path):
    mine = model(seed=1)
    mine.encode = lambda *_, **__: (_ for _ in ()).throw(Killed())
    with pytest.raises(Killed):
        shard(place, tmp_path / "s", 3, by=mine)
    with pytest.raises(UsageError, match="begun with another model"):
        shard(place, tmp_path / "s", 3)


@pytest.mark.parametrize("name", ["npy", "json"])
def test_a_damaged_shard_is_made_again(name, place, five, shards):
    path = shards / f"shard-00003-of-00005.{name}"
    path.write_bytes(path.read_bytes()[:-9] + b"012345678")
    with pytest.raises(DataError, match=r"damaged|no JSON"):
        merge_shards(shards, shards / "v.npy")
    shard(place, shards, 3)
    assert content(shards) == content(five)


def test_a_bad_record_is_named_before_anything_is_encoded(place, tmp_path):
    lines = [json.dumps({"answer": text}) for text in TEXTS]
    lines[40] = '{"answer": "  "}'
    (tmp_path / "bad.jsonl").write_text("\n".join(lines) + "\n")
    mine = Model.load(place / "model")
    mine.encode = lambda *_, **__: (_ for _ in ()).throw(Killed())
    with pytest.raises(DataError, match="empty") as caught:
        encode_shard(mine, records(tmp_path, "bad.jsonl"), "answer", tmp_path / "s", ShardNumber(2, 5), chunk=CHUNK)
    assert "line 41" in caught.value.where


def test_a_vector_that_is_not_finite_is_named(place, tmp_path):
    mine = Model.load(place / "model")
    encode = mine.encode
    mine.encode = lambda texts, **options: np.where(
        np.arange(len(texts))[:, None] == 3, np.nan, encode(texts, **options)
    )
    with pytest.raises(DataError, match="record 28 is not finite"):
        shard(place, tmp_path / "s", 2, by=mine)


def test_more_shards_than_records(place, tmp_path):
    with pytest.raises(UsageError, match="121 shards of 120 records"):
        shard(place, tmp_path / "s", 3, 121)
    with pytest.raises(UsageError, match="chunk is 0"):
        shard(place, tmp_path / "s", 3, chunk=0)


# Merging.


def refused(folder, said, kind=DataError):
    """What a merge says; it must not have written anything."""
    with pytest.raises(kind, match=said) as caught:
        merge_shards(folder, folder.parent / "v.npy")
    assert not [path for path in folder.parent.iterdir() if path != folder]
    return caught.value


def edit(shards, which, /, **changes):
    path = shards / f"shard-{which:05}-of-00005.json"
    values = json.loads(path.read_text())
    common = {name: changes.pop(name) for name in list(changes) if name in values["common"]}
    path.write_text(json.dumps(values | changes | {"common": values["common"] | common}))


def test_all_missing_shards_are_named_with_the_command_that_makes_them(place, shards):
    for number in (2, 3, 5):
        (shards / f"shard-{number:05}-of-00005.json").unlink()
    (shards / "shard-00005-of-00005.work").mkdir()
    error = refused(shards, r"of 5 shards 3 are missing: 2, 3, 5; begun, but not done: 5")
    assert error.remedy == "for n in 2 3 5; do nearfar encode MINE --shard $n/5; done"
    shutil.rmtree(shards / "shard-00005-of-00005.work")
    shard(place, shards, 5)
    shard(place, shards, 3)
    assert refused(shards, "of 5 shards 1 is missing: 2").remedy == "nearfar encode MINE --shard 2/5"


def test_no_shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    assert "--shard 1/16" in refused(folder, "there are no shards").remedy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "f" * 32}, r"model .* and ffffffffffff, in shards 1-3, 5 and 4"),
        ({"data": "f" * 64}, "data .* and ffffffffffff"),
        ({"column": "title"}, "column answer and title"),
        ({"side": "query"}, "side document and query"),
        ({"precision": "bfloat16"}, "precision float32 and bfloat16"),
        ({"dimension": 15}, "dimension 16 and 15"),
    ],
)
def test_shards_of_something_else(changes, said, shards):
    edit(shards, 4, **changes)
    refused(shards, said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"first": 71}, "records 71 to 96, which are not those of shard 4/5"),
        ({"stop": 97}, "records 72 to 97"),
        ({"total": 125}, "not those of shard"),
        ({"number": 3}, "it says that it is shard 3/5"),
        ({"of": 4}, "it says that it is shard 4/4"),
        ({"number": "4"}, "number is missing or of a wrong kind"),
        ({"side": None}, "does not say all"),
        ({"format": "x"}, "no nearfar-shard"),
        ({"version": 2}, "version 2"),
        ({"sha256": "0" * 64}, "not those that were written"),
        ({"dimension": -1}, "does not say all"),
    ],
)
def test_a_description_that_cannot_be_true(changes, said, shards):
    edit(shards, 4, **changes)
    assert "shard-00004-of-00005" in refused(shards, said).where


def test_overlapping_ranges_would_be_merged_without_the_check(shards, tmp_path, monkeypatch):
    """What the rule of ranges is for: two shards with a record in common, each sound by itself."""
    path = shards / "shard-00004-of-00005.npy"
    vectors = np.concatenate([np.load(shards / "shard-00003-of-00005.npy")[-1:], np.load(path)])
    np.save(path, vectors)
    edit(shards, 4, first=71, sha256=hashlib.sha256(vectors.tobytes()).hexdigest())
    refused(shards, "not those of shard")
    true = ShardNumber.records
    monkeypatch.setattr(
        shard_files.ShardNumber, "records", lambda self, total: range(71, 96) if self.number == 4 else true(self, total)
    )
    assert merge_shards(shards, tmp_path / "v.npy").shape == (121, 16)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xff"),
        lambda path: np.save(path, np.load(path).astype(np.float64)),
        lambda path: np.save(path, np.asfortranarray(np.load(path))),
        lambda path: np.save(path, np.load(path)[:-1]),
        lambda path: np.save(path, np.array([{}] * 24), allow_pickle=True),
    ],
)
def test_damaged_vectors_are_all_named(harm, shards):
    for number in (2, 4):
        harm(shards / f"shard-{number:05}-of-00005.npy")
    error = refused(shards, "the shard is damaged: .*, and 1 more are damaged")
    assert error.remedy == "for n in 2 4; do nearfar encode MINE --shard $n/5; done"


def test_shards_of_two_counts(place, shards):
    shard(place, shards, 2, 4)
    refused(shards, r"shards of 4 \(2\) and shards of 5 \(1-5\) lie here together")


def test_an_older_file_stays_until_the_new_one_is_whole(place, shards, tmp_path):
    (tmp_path / "v.npy").write_text("older")
    (shards / "shard-00005-of-00005.npy").write_bytes(b"")
    with pytest.raises(NearfarError):
        merge_shards(shards, tmp_path / "v.npy")
    assert (tmp_path / "v.npy").read_text() == "older"
    shard(place, shards, 5)
    merge_shards(shards, tmp_path / "v.npy")
    assert np.load(tmp_path / "v.npy").shape == (120, 16)
    assert all_shards(shards).shape == (120, 16)


# The command line.


def test_from_shards_to_an_array(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["encode", str(place / "model"), "--data", str(place / "my.jsonl"), "--column", "answer"]
    words += ["--out", "some shards", "--quiet"]
    assert main([*words, "--shard", "1/2"]) == 0
    assert "1 of 2 shards are complete" in capsys.readouterr().out
    assert main(["merge", "some shards", "--out", "v.npy"]) == 3
    error = capsys.readouterr().err
    again = f"nearfar encode {place}/model --data {place}/my.jsonl --column answer --out 'some shards' --shard 2/2"
    assert again in error
    assert main([*words, "--shard", "2/2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["first"], told["stop"], told["shards_complete"], told["was_complete"]) == (60, 120, 2, False)
    assert main([*words, "--shard", "2/2"]) == 0
    assert "nearfar merge 'some shards'" in capsys.readouterr().out
    assert main(["merge", "some shards", "--out", "v.npy", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["count"], told["dimension"], told["shards"]) == (120, 16, 2)
    whole = [word if word != "some shards" else "whole.npy" for word in words]
    assert main(whole) == 0
    np.testing.assert_array_equal(np.load("v.npy"), np.load("whole.npy"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--shard", "0/4"], "from 1/4 to 4/4"),
        (["--chunk", "5"], "only shards are encoded in chunks"),
        (["--shard", "1/4", "--chunk", "0"], "chunk is 0"),
    ],
)
def test_what_is_wrong_is_said(more, said, place, tmp_path, capsys):
    words = ["encode", str(place / "model"), "--data", str(place / "my.jsonl"), "--column", "answer"]
    assert main([*words, "--out", str(tmp_path / "s"), *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


# An index of them.


def indexed(place, shards, out, *more, data="my.jsonl", column="answer"):
    words = [str(place / "model"), str(place / data), "--column", column, "--vectors", str(shards), "--out", str(out)]
    return main(["index", *words, "--quiet", *more])


def test_an_index_of_shards_is_that_of_the_data_and_encodes_nothing(place, shards, tmp_path, monkeypatch, capsys):
    words = ["index", str(place / "model"), str(place / "my.jsonl"), "--column", "answer", "--quiet"]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    with monkeypatch.context() as patched:
        patched.setattr(Model, "encode", None)
        assert indexed(place, shards, tmp_path / "made", "--at-once", "50") == 0
        assert "120 records" in capsys.readouterr().out.splitlines()[-2]
        assert indexed(place, shards, tmp_path / "made", "--json") == 0
        assert json.loads(capsys.readouterr().out)["unchanged"] == 120
    with Index.open(tmp_path / "whole") as whole, Index.open(tmp_path / "made") as made:
        np.testing.assert_allclose(made.vectors(range(120)), whole.vectors(range(120)), atol=1e-6)
        assert [made.row(n) for n in range(120)] == [whole.row(n) for n in range(120)]
        assert not np.allclose(
            made.vectors(range(119)), whole.vectors(range(1, 120))
        )  # known bad: each one's neighbour
    # Encoded in the other way, nothing has changed: the vector is no part of what a record says.
    assert main([*words, "--out", str(tmp_path / "made"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unchanged"] == 120


def test_an_index_refuses_shards_of_something_else(place, shards, tmp_path, capsys):
    others = [{"answer": text.replace("again", "anew"), "where": "here"} for text in TEXTS]
    (place / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in others))
    model(seed=1).save(place / "second")
    assert indexed(place, shards, tmp_path / "made", data="other.jsonl") == 2
    assert "these vectors are of something else: data " in capsys.readouterr().err
    assert indexed(place, shards, tmp_path / "made", data="other.jsonl", column="where") == 2
    assert "column answer there, where here" in capsys.readouterr().err
    assert indexed(place, shards, tmp_path / "made", "--side", "query") == 2
    assert "side document there, query here" in capsys.readouterr().err
    words = [str(place / "second"), str(place / "my.jsonl"), "--column", "answer", "--vectors", str(shards)]
    assert main(["index", *words, "--out", str(tmp_path / "made")]) == 2
    assert "model " in capsys.readouterr().err
    assert indexed(place, shards / "shard-00001-of-00005.npy", tmp_path / "made") == 3
    assert "this is a file, and shards are a folder" in capsys.readouterr().err
    with (shards / "shard-00003-of-00005.npy").open("r+b") as file:
        file.seek(200)
        file.write(b"\1\2\3\4")
    assert indexed(place, shards, tmp_path / "made") == 3
    assert "--shard 3/5" in capsys.readouterr().err
    (shards / "shard-00002-of-00005.json").unlink()
    assert indexed(place, shards, tmp_path / "made") == 3
    assert "missing: 2" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
