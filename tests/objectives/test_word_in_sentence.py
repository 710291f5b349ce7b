"""What word_in_sentence draws: other words by the square root of their counts, never the word itself; spans that go."""

import pytest
import torch

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.objectives.word_in_sentence import WordInSentence

COUNTS = torch.tensor([100.0, 49.0, 25.0, 9.0, 1.0])


def test_others_are_drawn_by_the_square_root_of_counts_and_never_the_word():
    term = WordInSentence(COUNTS, 4, drawn=20_000, threshold=1.0, dropped=0)
    drawn = term.others(torch.arange(5), torch.tensor([5]), Draws(0, 0, torch.tensor([3])))
    for word, mine in enumerate(drawn):
        weight = COUNTS.sqrt().index_fill(0, torch.tensor(word), 0.0)
        shares = torch.bincount(mine, minlength=5) / 20_000
        assert shares[word] == 0
        assert torch.allclose(shares, weight / weight.sum(), atol=0.015)
        assert not torch.allclose(shares, COUNTS / COUNTS.sum(), atol=0.05)


def test_frequent_words_are_seldom_targets():
    keep = WordInSentence(COUNTS, 4, drawn=1, threshold=1e-3, dropped=0).keep
    share = float(COUNTS[0] / COUNTS.sum())
    assert keep[0] == pytest.approx((1e-3 / share) ** 0.5 + 1e-3 / share)
    assert (keep.diff() > 0).all()


@pytest.mark.parametrize("dropped", [0, 2, 50])
def test_each_text_loses_so_many_spans_and_no_word(dropped):
    texts = ["a b c d e", "a", "b a", "e d c b a e d c"]
    encoder = nf.WordNgrams.fit({"text": texts}, dimension=2, buckets=9, ngrams=3, min_count=1)
    units = encoder.units(encoder.prepare(texts))
    term = WordInSentence(encoder.counts, 2, drawn=1, threshold=1.0, dropped=dropped)
    stays = term._left(units, Draws(0, 0, torch.arange(4)))
    other = term._left(units, Draws(0, 1, torch.arange(4)))
    assert stays[units.length == 1].all()
    for text in range(4):
        spans = (units.text == text) & (units.length > 1)
        assert int((~stays & spans).sum()) == min(dropped, int(spans.sum()))
    assert dropped != 2 or (stays != other).any(), "each pass drops others"


def test_mistakes_are_named():
    encoder = nf.WordNgrams.fit({"text": ["a b"]}, dimension=2, min_count=1)
    for options in ({"drawn": 0}, {"dropped": -1}, {"threshold": 0.0}):
        with pytest.raises(UsageError):
            nf.word_in_sentence(**options, towers={"encoder": encoder})
    with pytest.raises(UsageError, match="not known"):
        nf.word_in_sentence()
