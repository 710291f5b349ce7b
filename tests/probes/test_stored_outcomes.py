"""Stored outcomes come back whole; a crash leaves the older ones; what is damaged is refused."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.probes import stored_outcomes
from nearfar.probes.outcome import Outcome
from nearfar.probes.stored_outcomes import DESCRIPTION, VALUES, has_outcomes, load_outcomes, save_outcomes


def spread(columns):
    return float(np.ptp(columns["rank"]))


def median(columns):
    return float(np.median(columns["rank"]))


@pytest.fixture(autouse=True)
def probe(monkeypatch):
    """A probe "spreading" whose module lists two metrics, beside the real parts."""
    found = stored_outcomes.find

    def find(name, kind=None):
        metrics = {"spread": spread, "median": median}
        return SimpleNamespace(load={"METRICS": metrics}.__getitem__) if name == "spreading" else found(name, kind)

    monkeypatch.setattr(stored_outcomes, "find", find)


def outcome(seed=0, **changes):
    random = np.random.default_rng(seed)
    values = {
        "probe": "spreading",
        "main": "error",
        "units": "pairs",
        "columns": {
            "error": random.random(5),
            "rank": random.permutation(5),
            "right": np.array([True, False, True, True, False]),
            "vector": random.random((5, 3)).astype(np.float32),
            "label": np.array(["a", "ü", "", "c\nd", "🙂"]),
        },
        "means": ("error",),
        "metrics": {"spread": spread, "median": median},
        "swapped": ("rank",),
        "names": ["one", "two", "three", "fo\ud800ur", "five"],
        "higher": {"error": False},
        "facts": {"k": np.int64(3), "fingerprint": "ab", "sizes": (1, 2)},
    }
    return Outcome(**(values | changes))


def same(a, b):
    columns = a.columns.keys() == b.columns.keys() and all(
        a.columns[k].dtype == b.columns[k].dtype and np.array_equal(a.columns[k], b.columns[k]) for k in a.columns
    )
    settings = ("probe", "main", "units", "means", "swapped", "higher", "metrics")
    return columns and all(getattr(a, s) == getattr(b, s) for s in settings) and list(a.names) == list(b.names)


def test_all_comes_back(tmp_path):
    plain = Outcome("retrieval", "mrr", "queries", {"mrr": np.array([1.0, 0.5])}, means=("mrr",))
    given = {"a/b c": outcome(), "plain": plain}
    save_outcomes(tmp_path / "new" / "place", given, {"model": "m", "size": np.float64(2), "place": tmp_path})
    found, about = load_outcomes(tmp_path / "new" / "place")
    assert list(found) == ["a/b c", "plain"]
    assert about == {"model": "m", "size": 2.0, "place": str(tmp_path)}
    assert same(found["a/b c"], given["a/b c"])
    assert same(found["plain"], plain)
    assert found["a/b c"].figures() == given["a/b c"].figures()
    assert found["a/b c"].facts == {"k": 3, "fingerprint": "ab", "sizes": [1, 2]}
    assert not same(found["a/b c"], outcome(seed=1))
    assert not same(found["a/b c"], outcome(swapped=()))


def test_files_beside_it_stay_and_a_newer_one_replaces(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert not has_outcomes(tmp_path)
    for seed in (0, 1):
        save_outcomes(tmp_path, {"x": outcome(seed)}, {})
        assert same(load_outcomes(tmp_path)[0]["x"], outcome(seed))
    assert has_outcomes(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", DESCRIPTION, VALUES]
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / VALUES).stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_crash_between_any_two_renames_leaves_the_older_or_the_newer(tmp_path, monkeypatch, moment):
    save_outcomes(tmp_path, {"x": outcome(0)}, {})
    renames, real = [], os.replace

    def replace(source, target):
        renames.append(target)
        if len(renames) == moment:
            raise OSError(5, "died")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(ResourceError, match="died"):
        save_outcomes(tmp_path, {"x": outcome(1)}, {})
    monkeypatch.setattr(os, "replace", real)
    assert len(renames) == moment
    assert same(load_outcomes(tmp_path)[0]["x"], outcome(0))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "died again")))
    with pytest.raises(ResourceError, match="died again"):  # a second death must not lose what the first had set aside
        save_outcomes(tmp_path, {"x": outcome(2)}, {})
    assert same(load_outcomes(tmp_path)[0]["x"], outcome(0))
    monkeypatch.setattr(os, "replace", real)
    save_outcomes(tmp_path, {"x": outcome(3)}, {})
    assert same(load_outcomes(tmp_path)[0]["x"], outcome(3))


def test_without_the_older_columns_a_crash_is_noticed(tmp_path):
    save_outcomes(tmp_path, {"x": outcome(0)}, {})
    save_outcomes(tmp_path / "other", {"x": outcome(1)}, {})
    os.replace(tmp_path / "other" / VALUES, tmp_path / VALUES)
    with pytest.raises(DataError, match="digest"):
        load_outcomes(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "nearfar-model"}, "no nearfar-outcomes"),
        ({"version": 2}, "version 2; this nearfar reads version 1"),
        ({"values": "00"}, "digest"),
        ({"values": None}, "digest"),
        ({"outcomes": {"x": {}}}, "incomplete"),
        ({"outcomes": [1]}, "incomplete"),
        ({"about": 3}, "incomplete"),
    ],
)
def test_damage_is_refused(tmp_path, change, message):
    save_outcomes(tmp_path, {"x": outcome()}, {})
    path = tmp_path / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        load_outcomes(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probe": "os.path"}, "'os.path' cannot be found"),
        ({"probe": "info_nce"}, "cannot be found"),  # a part, but no probe
        ({"probe": "statistics"}, "cannot be found"),  # a probe without METRICS
        ({"metrics": ["loads"]}, "no metric 'loads'"),
        ({"main": "nothing"}, "no metric 'nothing'"),
        ({"names": ["one"]}, "different lengths"),
        ({"columns": {"error": "0.absent"}}, "incomplete"),
    ],
)
def test_a_changed_outcome_is_refused(tmp_path, change, message):
    save_outcomes(tmp_path, {"x": outcome()}, {})
    path = tmp_path / DESCRIPTION
    data = json.loads(path.read_text())
    data["outcomes"]["x"] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=message):
        load_outcomes(tmp_path)


def test_broken_files(tmp_path):
    with pytest.raises(DataError, match=r"no outcomes\.json"):
        load_outcomes(tmp_path)
    save_outcomes(tmp_path, {"x": outcome()}, {})
    whole = (tmp_path / VALUES).read_bytes()
    (tmp_path / VALUES).write_bytes(whole[:-4])
    with pytest.raises(DataError, match="digest"):
        load_outcomes(tmp_path)
    (tmp_path / DESCRIPTION).write_text("{")
    with pytest.raises(DataError, match="no JSON"):
        load_outcomes(tmp_path)


@pytest.mark.parametrize(
    ("outcomes", "about", "message"),
    [
        ({}, {}, "no outcome"),
        ({"x": outcome()}, {"a": object()}, "no JSON"),
        ({"x": outcome(metrics={"spread": lambda columns: 0.0})}, {}, "METRICS"),
        ({"x": outcome(metrics={"spread": median})}, {}, "METRICS"),
        ({"x": outcome(probe="mine", metrics={"spread": spread})}, {}, "'mine' cannot be found"),
        ({"x": outcome(columns={"error": np.ones(5), "rank": np.ones(5, complex)})}, {}, "complex128"),
        ({"x": outcome(columns={"error": np.ones(5), "rank": np.array([None] * 5)})}, {}, "objects"),
    ],
)
def test_what_cannot_be_stored_is_said_before_anything_is_written(tmp_path, outcomes, about, message):
    with pytest.raises(UsageError, match=message):
        save_outcomes(tmp_path / "there", outcomes, about)
    assert not (tmp_path / "there").exists() or not os.listdir(tmp_path / "there")


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        save_outcomes(tmp_path / "file", {"x": outcome()}, {})
