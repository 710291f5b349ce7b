"""Word n-grams: which rows a text has, by counting; the rest is in test_contract.py."""

import pytest
import torch

from nearfar.core.errors import UsageError
from nearfar.encoders.word_ngrams import FACTOR, WordNgrams

TEXTS = ["near and far", "far and near and far"]


def test_rows_of_a_text():
    encoder = WordNgrams.fit({"text": TEXTS}, dimension=4, ngrams=3, buckets=1000, min_count=1)
    assert encoder.words == ["and", "far", "near"]
    assert encoder.counts.tolist() == [3, 3, 2]
    ids = [2, 0, 1]
    pair = [(a * FACTOR + b) % 1000 for a, b in zip(ids, ids[1:], strict=False)]
    triple = ((2 * FACTOR + 0) * FACTOR + 1) % 1000
    units = encoder.units(encoder.prepare(["unknown near and far", "far"]))
    mine = units.text == 0
    assert units.row[mine].tolist() == [*ids, *(3 + b for b in pair), 3 + triple]
    assert units.row[~mine].tolist() == [1], "no span goes from one text to the next"
    covered = list(zip(units.first.tolist(), units.length.tolist(), strict=True))
    assert covered == [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2), (0, 3)]
    vector = encoder(encoder.prepare(["near and far"])).vectors[0]
    assert torch.allclose(vector, encoder.table[units.row[mine]].mean(0))


def test_words_alone_know_no_order():
    for ngrams, alike in ((1, True), (2, False)):
        encoder = WordNgrams.fit({"text": TEXTS}, dimension=4, ngrams=ngrams, buckets=100, min_count=1)
        one, other = encoder(encoder.prepare(["near and far", "far and near"])).vectors
        assert torch.allclose(one, other) == alike


@pytest.mark.parametrize("options", [{"ngrams": 0}, {"buckets": 0}, {"min_count": 9}, {"dimension": 0}])
def test_settings_that_make_no_sense(options):
    with pytest.raises(UsageError):
        WordNgrams.fit({"text": TEXTS}, **options)
