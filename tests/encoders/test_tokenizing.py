"""Words, parts and units of texts, counted in whole arrays as one would count them one by one."""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.core.text_fields import FIELD
from nearfar.encoders.shared import tokenizing
from nearfar.encoders.shared.tokenizing import Vocabulary, units, words

# Letters of several scripts, marks, digits, every kind of gap, and what separates head and body.
TEXT = st.text(st.sampled_from("aAbBcC_1 2\t\n\x1f.(\u00e9\u00df\u0416\u4e2d\u0301" + FIELD[0]), max_size=40)
TEXTS = st.lists(st.one_of(TEXT, TEXT.map(lambda text: f"{text}{FIELD}ab getX {text}")), max_size=7)


def counted(text: str) -> Counter[str]:
    return Counter(unit for word in re.findall(r"\w+", text) for unit in units(word))


@given(TEXT)
def test_words_are_those_of_the_pattern(text: str) -> None:
    assert words(text) == re.findall(r"\w+", text)


@given(TEXTS, st.integers(1, 3), st.integers(0, 12))
def test_the_vocabulary_is_what_most_texts_hold(texts: list[str], least: int, size: int) -> None:
    made, frequency = Vocabulary.fit(texts, min_count=least, size=size, buckets=2)
    held = Counter(unit for text in texts for unit in counted(text))
    frequent = sorted((unit for unit in held if held[unit] >= least), key=lambda unit: (-held[unit], unit))
    assert made.known == frequent[:size]
    assert frequency.tolist() == [held[unit] for unit in made.known] + [0, 0]


@given(TEXTS)
def test_weights_are_those_of_one_text_at_a_time(texts: list[str]) -> None:
    fitted, _ = Vocabulary.fit(texts, min_count=2, size=9, buckets=3)
    for vocabulary in (fitted, Vocabulary(fitted.known, 3)):  # one that knows the words, one that meets them
        made = vocabulary.weigh(texts, 3.0)
        assert made.offsets[0] == 0
        assert len(made.offsets) == len(texts) + 1
        for text, first, last in zip(texts, made.offsets, made.offsets[1:], strict=False):
            head, body = text.split(FIELD, 1) if FIELD in text else ("", text)
            expected = []
            for field, weight in ((head, 3.0), (body, 1.0)):
                numbers = Counter(vocabulary._numbered(list(counted(field).elements())))
                expected += [(n, np.float32(weight * (1 + math.log(numbers[n])))) for n in sorted(numbers)]
            found = list(zip(made.ids[first:last].tolist(), made.amounts[first:last], strict=True))
            assert [n for n, _ in found] == [n for n, _ in expected]
            np.testing.assert_allclose([a for _, a in found], [a for _, a in expected], rtol=1e-6)


def test_chunks_and_a_full_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"word{i % 7} getName{i % 5} x{FIELD if i % 3 else ' '}word{i % 4} a a" for i in range(50)]
    whole, often = Vocabulary.fit(texts, min_count=2, size=100, buckets=4)
    expected = whole.weigh(texts, 2.0)
    monkeypatch.setattr(tokenizing, "CHUNK", 3)
    monkeypatch.setattr(tokenizing, "CACHE", 5)
    pieces, often_again = Vocabulary.fit(texts, min_count=2, size=100, buckets=4)
    assert pieces.known == whole.known
    assert often_again.tolist() == often.tolist()
    for vocabulary in (pieces, whole):
        made = vocabulary.weigh(texts, 2.0)
        for name in ("ids", "amounts", "offsets"):
            np.testing.assert_array_equal(getattr(made, name), getattr(expected, name))
    assert expected.amounts.tolist() != whole.weigh(texts, 1.0).amounts.tolist()  # known bad: no head


def test_no_texts_and_empty_ones() -> None:
    vocabulary = Vocabulary(["a"], 1)
    assert vocabulary.weigh([], 3.0).offsets.tolist() == [0]
    assert vocabulary.weigh(["", " ", "a"], 3.0).offsets.tolist() == [0, 0, 0, 1]
    nothing, frequency = Vocabulary.fit([], min_count=1, size=5, buckets=2)
    assert nothing.known == []
    assert frequency.tolist() == [0, 0]


def test_threads_that_meet_new_words_at_once_count_right() -> None:
    texts = [" ".join(f"w{(i * j) % 997}Part{j % 89}" for j in range(30)) for i in range(400)]
    expected = [Vocabulary(["w1"], 50).weigh([text], 1.0) for text in texts]
    shared = Vocabulary(["w1"], 50)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda text: shared.weigh([text], 1.0), texts))
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.amounts, other.amounts)


def test_copies_know_no_words_and_count_the_same() -> None:
    whole, _ = Vocabulary.fit(["a getName", "a b"], min_count=1, size=9, buckets=2)
    for made in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert (made.known, made.buckets) == (whole.known, whole.buckets)
        assert made.weigh(["getName z"], 1.0).ids.tolist() == whole.weigh(["getName z"], 1.0).ids.tolist()
    assert len(pickle.dumps(whole)) == len(pickle.dumps(Vocabulary(whole.known, 2)))
