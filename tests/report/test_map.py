"""Data of the map, the projection and the sample: what is packed can be unpacked, and nothing breaks out of its element."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.doctor import Finding
from nearfar.probes.similarity_histogram import similarity_histogram
from nearfar.report.map import NONE, cut, for_element, packed, script
from nearfar.report.page import render
from nearfar.report.projection import effective_rank, neighbours, principal, t_sne, unit
from nearfar.report.sample import Sample, has_sample
from nearfar.report.sections import Answered, Findings, Map, Queries, Report, Spectrum, Table


def a_map(n=30, **changes):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(n, 6))
    near, cosines = neighbours(vectors, 4)
    given = {
        "points": principal(vectors)[0],
        "texts": [f"text {i}" for i in range(n)],
        "columns": {"kind": ["b", "a"] * (n // 2), "size": np.arange(n) / 7},
        "neighbours": near,
        "similarities": cosines,
    }
    return Map("map", **{**given, **changes})


def decoded(text, kind="<u2"):
    return np.frombuffer(base64.b64decode(text), kind)


def test_what_is_packed_can_be_unpacked():
    section = a_map()
    data = packed(section, ["kind", "size"], 0)
    points = decoded(data["points"]).reshape(-1, 2).astype(float)
    scale = np.ptp(section.points, 0).max() / 65_000
    assert np.allclose(np.diff(points, axis=0) * scale, np.diff(section.points, axis=0), atol=2 * scale)
    assert not np.allclose(np.diff(points, axis=0) * scale, np.diff(section.points[:, ::-1], axis=0), atol=2 * scale)
    assert decoded(data["neighbours"]).reshape(-1, 4).tolist() == section.neighbours.tolist()
    steps = decoded(data["similarities"], np.uint8).reshape(-1, 4)
    assert np.allclose(data["low"] + steps / 255 * (data["high"] - data["low"]), section.similarities, atol=0.004)
    kind, size = data["columns"]
    assert kind["labels"] == ["a", "b"]
    assert decoded(kind["codes"]).tolist() == [1, 0] * 15
    back = size["low"] + decoded(size["codes"]) / (NONE - 1) * (size["high"] - size["low"])
    assert np.allclose(back, section.columns["size"], atol=1e-4)
    assert (size["whole"], size["log"]) == (False, False)


def test_skewed_numbers_are_logarithmic_and_unknown_ones_are_marked():
    values = np.array([1.0, 2, 1, 3, 2, 1000, np.nan, 2])
    column = packed(a_map(8, columns={"rank": values}), ["rank"], 0)["columns"][0]
    codes = decoded(column["codes"])
    assert codes[6] == NONE
    assert (codes[[0, 5]] == [0, NONE - 1]).all()
    known = np.isfinite(values)
    back = np.expm1(column["low"] + codes[known] / (NONE - 1) * (column["high"] - column["low"]))
    assert np.rint(back).tolist() == values[known].tolist()
    assert column["log"]
    assert column["whole"]


def test_a_point_without_enough_neighbours_says_so():
    near, cosines = neighbours(np.eye(3), 5)
    assert near.tolist() == [[1, 2, -1, -1, -1], [0, 2, -1, -1, -1], [0, 1, -1, -1, -1]]
    data = packed(a_map(3, columns={}, neighbours=near, similarities=cosines, points=np.eye(3, 2)), [], -1)
    assert decoded(data["neighbours"]).reshape(3, 5)[:, 2:].min() == NONE


@pytest.mark.parametrize("pool", [None, np.arange(40) % 3 == 0])
def test_neighbours_are_those_of_a_naive_loop(pool):
    vectors = np.random.default_rng(1).normal(size=(40, 5))
    vectors[7] = vectors[9]  # an equal one is a neighbour, the row itself never
    found, cosines = neighbours(vectors, 6, pool)
    wrong = neighbours(vectors * np.array([9, 1, 1, 1, 1]), 6, pool)[0]
    expected = []
    for i in range(40):
        others = [j for j in range(40) if j != i and (pool is None or pool[j])]
        cosine = {j: vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j]) for j in others}
        expected.append(sorted(others, key=lambda j: (-round(cosine[j], 6), j))[:6])
        assert cosines[i] == pytest.approx([cosine[j] for j in expected[-1]], abs=1e-5)
    assert found.tolist() == expected
    assert wrong.tolist() != expected


def test_principal_axes_are_those_of_the_singular_values():
    vectors = np.random.default_rng(2).normal(size=(50, 4)) * [4, 2, 1, 0.5] + 100
    places, shares = principal(vectors)
    left, values, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    assert np.abs(places) == pytest.approx(np.abs((left * values)[:, :2]))
    assert shares == pytest.approx(values**2 / (values**2).sum())
    raw = np.linalg.svd(vectors, compute_uv=False)
    assert shares != pytest.approx(raw**2 / (raw**2).sum())  # not centred
    assert effective_rank(np.full(8, 1 / 8)) == pytest.approx(8)
    assert effective_rank(np.array([1.0, 0.0])) == pytest.approx(1)
    assert np.array_equal(principal(np.ones((5, 3)))[0], np.zeros((5, 2)))
    assert principal(np.arange(4.0)[:, None])[0].shape == (4, 2)


def test_t_sne_keeps_clouds_apart():
    random = np.random.default_rng(0)
    kinds = np.arange(60) % 3
    vectors = unit(random.normal(size=(60, 8)) + 20 * np.eye(3, 8)[kinds])

    def kept(points):
        return np.mean(kinds[neighbours_on(points)] == kinds)

    assert kept(t_sne(vectors)) > 0.95
    assert kept(random.normal(size=(60, 2))) < 0.7
    assert t_sne(vectors[:3]).shape == (3, 2)


def neighbours_on(points):
    distance = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(len(points))
    return distance.argmin(1)


def test_json_cannot_leave_its_element():
    data = {"a": "</script><!-- <script>", "b": ["\u2028", "&amp;", "\ud800"]}
    text = for_element(data)
    assert not re.search(r"[<>&\u2028]", text)
    assert json.loads(text) == {"a": data["a"], "b": ["\u2028", "&amp;", "?"]}
    assert "</script>" in json.dumps(data)


def test_texts_are_cut_by_their_size_on_the_page():
    for text in ("x" * 500, "<" * 500, "\u6771" * 500, "ab " * 300):
        short = cut(text, 60)
        assert len(for_element(short).encode()) - 2 <= 60
        assert short.endswith("\u2026")
    assert cut("two\n  lines", 60) == "two lines"


def test_the_policy_knows_exactly_our_script():
    page = render(Report("r", sections=[a_map()]))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    ran = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = lambda text: "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()  # noqa: E731
    assert ran == [script()]
    assert f"script-src '{digest(ran[0])}'" in policy
    assert digest(ran[0] + " ") not in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert "</script" not in script()
    plain = render(Report("r", sections=[Table("t", ["a"], [[1]])]))
    assert "script" not in re.sub(r"<style>.*?</style>", "", plain, flags=re.DOTALL)


def test_maps_that_do_not_fit_are_refused():
    for bad, says in (
        (a_map(points=np.zeros((29, 2))), "do not fit"),
        (a_map(columns={"a": ["x"] * 29}), "do not fit"),
        (a_map(points=np.full((30, 2), np.nan)), "no number"),
        (a_map(points=np.zeros((0, 2)), texts=[], columns={}), "of 0 points"),
    ):
        with pytest.raises(UsageError, match=says):
            render(Report("r", sections=[bad]))


def test_other_sections_say_what_they_were_given():
    finding = Finding("collapse", "error", "cosine is 0.99", "the <cause>", "type this", (1, 400), "fit")
    sections = [
        Findings("d", [finding], ["rates"]),
        Findings("e", []),
        Queries("q", {"missed": [Answered("ask", "right", 1234, "wrong", 0.25, 0.5, ("B", 7))]}),
        Queries("none", {}),
        Spectrum("s", {"a": [0.5, 0.3, 0.2, 0.0], "b": [1.0]}),
        Table("t", ["a"], [[1]], folded=True),
    ]
    page = render(Report("r", sections=sections))
    for words in (
        "error: collapse",
        "the &lt;cause&gt;",
        "fit, steps 1 to 400",
        "Not measured: rates",
        "Nothing is wrong",
        "rank 1,234",
        "by B",
        "No query was measured",
        "1 rows",
        "the first holds 50 %",
    ):
        assert words in page, words
    assert "the <cause>" not in page


def a_sample(**changes):
    vectors = unit(np.random.default_rng(3).normal(size=(6, 4)))
    given = {
        "vectors": vectors,
        "texts": ["a", "b\ud800", "c", "d", "e", "f"],
        "columns": {"kind": list("xyxyxy"), "size": np.arange(6.0)},
        "pool": np.arange(6) > 2,
        "color_by": "kind",
        "near": similarity_histogram(vectors[:3], vectors[3:]),
        "examples": {"missed": [Answered("r", "t", 5, "u", 0.1, 0.2)]},
        "note": "six",
    }
    return Sample(**{**given, **changes})


def test_a_sample_comes_back_as_it_was(tmp_path):
    assert not has_sample(tmp_path / "sample")
    a_sample().save(tmp_path / "sample")
    a_sample().save(tmp_path / "sample")  # an older one is replaced
    found, was = Sample.load(tmp_path / "sample"), a_sample()
    assert has_sample(tmp_path / "sample")
    assert np.allclose(found.vectors, was.vectors, atol=1e-3)
    assert not np.array_equal(found.vectors, -was.vectors)
    for name in ("texts", "color_by", "near", "examples", "note"):
        assert getattr(found, name) == getattr(was, name), name
    assert found.columns["kind"] == was.columns["kind"]
    assert found.columns["size"].tolist() == was.columns["size"].tolist()
    assert found.pool.tolist() == was.pool.tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"texts": ["a"]},
        {"pool": np.ones(2, bool)},
        {"vectors": np.full((6, 4), np.nan, np.float32)},
    ],
)
def test_a_sample_that_does_not_fit_together_is_refused(tmp_path, changes):
    a_sample(**changes).save(tmp_path / "sample")
    with pytest.raises(DataError, match="cannot be read"):
        Sample.load(tmp_path / "sample")


def test_a_damaged_sample_is_refused(tmp_path):
    a_sample().save(tmp_path / "sample")
    (tmp_path / "sample" / "sample.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    with pytest.raises(DataError, match="cannot be read"):
        Sample.load(tmp_path / "sample")
