"""Planted tags are given, ties and thresholds do what is said, probabilities are a softmax, and lists of tags are read."""

import numpy as np
import pytest

from nearfar.core.errors import DataError, UsageError
from nearfar.search.tag import Tag, prompts, read_tags, tagged, temperature_of


def planted(t=4, each=30, d=16, noise=0.1):
    draws = np.random.default_rng(0)
    tags = np.linalg.qr(draws.standard_normal((d, d)))[0][:t]
    label = draws.permutation(np.repeat(np.arange(t), each))
    rows = tags[label] + noise * draws.standard_normal((t * each, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), tags.astype(np.float32), label


def test_each_row_gets_its_planted_tag(monkeypatch):
    monkeypatch.setattr("nearfar.search.tag.BLOCK", 7)
    rows, tags, label = planted()
    found = tagged(rows, tags)
    assert [found.of(i) for i in range(len(rows))] == [[n] for n in label.tolist()]
    assert found.probability is None, "no probability where the temperature is not known"
    wrong = tagged(rows, np.roll(tags, 1, axis=0))  # known bad
    assert not any(wrong.of(i) == [n] for i, n in enumerate(label.tolist()))


def test_probabilities_are_the_softmax_of_the_temperature():
    rows, tags, _ = planted(noise=0.6)
    found = tagged(rows, tags, temperature=0.2)
    scores = np.exp((rows @ tags.T).astype(np.float64) / 0.2)
    assert found.probability == pytest.approx(scores.max(1) / scores.sum(1), rel=1e-5)
    assert tagged(rows, tags, temperature=0.3).probability != pytest.approx(found.probability, rel=1e-3)  # known bad
    assert np.isfinite(tagged(rows, tags, temperature=1e-4).probability).all()


def test_below_the_least_cosine_there_is_no_tag_and_several_are_all_above():
    rows = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0, 1]], dtype=np.float32)
    tags = np.eye(2, 3, dtype=np.float32)
    assert [tagged(rows, tags, least=0.5).of(i) for i in range(3)] == [[0], [1], []]
    assert [tagged(rows, tags, least=0.5, several=True).of(i) for i in range(3)] == [[0], [1, 0], []]
    assert [tagged(rows, tags, least=0.7, several=True).of(i) for i in range(3)] == [[0], [1], []]
    assert [tagged(rows, tags).of(i) for i in range(3)] == [[0], [1], [0]]
    assert tagged(rows, tags, least=1.0).of(0) == [0], "the least itself is enough"
    with pytest.raises(UsageError, match="from which cosine"):
        tagged(rows, tags, several=True)
    with pytest.raises(UsageError, match="positive"):
        tagged(rows, tags, temperature=0.0)


def test_tags_are_read_from_words_and_from_files(tmp_path):
    assert read_tags("a, b b") == [Tag("a", "a"), Tag("b b", "b b")]
    path = tmp_path / "tags.txt"
    path.write_text("sports\tball games and races\n\npolitics\n", "utf-8")
    tags = read_tags(str(path))
    assert tags == [Tag("sports", "ball games and races"), Tag("politics", "politics")]
    assert prompts(tags, "on {}!") == ["on ball games and races!", "on politics!"]


@pytest.mark.parametrize(
    ("given", "said"),
    [("a", "1 tags"), ("a,b,a", "twice"), ("a,none", "without a tag"), ("", "0 tags"), ("x\t1,\t2", "no name")],
)
def test_lists_of_tags_that_are_none(given, said):
    with pytest.raises(UsageError, match=said):
        read_tags(given)


def test_what_cannot_be_asked_for_is_said(tmp_path):
    with pytest.raises(UsageError, match="no place for a tag"):
        prompts([Tag("a", "a")], "about it")
    with pytest.raises(UsageError) as caught:
        read_tags(str(tmp_path / "missing.txt"))
    assert "there is no file" in caught.value.remedy
    path = tmp_path / "tags.bin"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        read_tags(str(path))


def test_a_temperature_is_known_where_it_was_fixed():
    trained = {"rule": "info_nce", "similarity": "cosine", "temperature": 0.07, "learn_temperature": False}

    def of(**changed):
        return temperature_of({"recipe": {"objective": {**trained, **changed}}})

    assert of() == 0.07
    assert of(learn_temperature=True) is None
    assert of(rule="sigmoid") is None
    assert of(temperature="0.07") is None
    assert temperature_of({}) is None
    assert temperature_of({"recipe": {"objective": "vicreg"}}) is None
