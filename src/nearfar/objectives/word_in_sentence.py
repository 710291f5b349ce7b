"""Word in sentence: each word should score high with the rest of its sentence, drawn words low. A local term of `word_ngrams`.

        l_w = log(1 + exp(- u_w v)) + sum over k drawn w' of log(1 + exp(u_w' v)),    v the mean of the rows of S that do not cover w

u are learned vectors of words, the term's own, which start at zero and are thrown away. A word of share f of all words is a target with
chance min(1, sqrt(T / f) + T / f), so that "the" is not what most is learned of; the rest of the sentence is never thinned so. Other words
are drawn by the square root of their counts. Beyond single words, `dropped` spans of each sentence are left out, anew in
each pass. Plain products, no temperature. The mean is over targets; a sentence of one word has none.
Kin: `sigmoid` scores aligned pairs of a batch likewise, against the batch; here negatives come from one table, whatever the batch.
Source: Pagliardini, Gupta and Jaggi 2017 (Sent2Vec, arXiv 1703.02507): 10 drawn words, T 1e-5 for a billion words, 4 dropped spans. T is
1e-3 here, for small texts. Their code keeps the word's place with a row of its own; the paper takes it out, and so do we, with the
spans that cover it; no new span is formed over the gap. That u starts at zero is from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.core.outputs import Outputs
from nearfar.objectives.composed import Local

CARD = Card(
    name="word_in_sentence",
    summary="each word scores high with the rest of its sentence, drawn words low; a local term",
    related=("word_ngrams", "sigmoid", "next_item_cross_entropy"),
)


class WordInSentence(nn.Module):
    """The loss and the vectors of target words that it learns.

    counts  [w] how often each word occurs
    """

    weight: Tensor
    keep: Tensor
    tables = ("targets",)

    def __init__(self, counts: Tensor, dimension: int, drawn: int, threshold: float, dropped: int) -> None:
        super().__init__()
        self.targets = nn.Parameter(torch.zeros(len(counts), dimension))
        self.drawn, self.dropped = drawn, dropped
        share = counts.double() / counts.sum()
        self.register_buffer("weight", counts.double().sqrt().cumsum(0), persistent=False)
        self.register_buffer("keep", ((threshold / share).sqrt() + threshold / share).clamp(max=1), persistent=False)

    def forward(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Sum of the losses of the targets, and of how many."""
        tower, inputs = outputs.tower, outputs.inputs
        if not hasattr(tower, "units"):
            raise UsageError(
                f"the encoder {type(tower).__name__} is not made of words and spans",
                where="encoder",
                remedy="take word_ngrams",
            )
        sizes, ids, device = inputs.lengths, inputs.ids, self.targets.device
        units = tower.units(inputs)
        if self.dropped and self.training:
            units = type(units)(*(part[self._left(units, outputs.draws)] for part in units))
        kept = torch.cat(outputs.draws.each("target", sizes)) < self.keep.cpu()[ids]
        text = torch.arange(len(inputs)).repeat_interleave(sizes)
        # The rest of a sentence: the sum of all of its rows less those that cover the word.
        rows = functional.embedding(units.row.to(device), tower.table)
        whole = rows.new_zeros(len(inputs), rows.shape[1]).index_add(0, units.text.to(device), rows)
        unit = torch.arange(len(units.row)).repeat_interleave(units.length)
        place = units.first[unit] + torch.arange(len(unit)) - (units.length.cumsum(0) - units.length)[unit]
        own = rows.new_zeros(len(ids), rows.shape[1]).index_add(0, place.to(device), rows[unit.to(device)])
        left = torch.bincount(units.text, minlength=len(inputs))[text] - torch.bincount(place, minlength=len(ids))
        kept &= left > 0
        rest = (whole[text[kept].to(device)] - own[kept.to(device)]) / left[kept, None].to(device)
        word, others = ids[kept], self.others(ids, sizes, outputs.draws)[kept]
        right = (self.targets[word.to(device)] * rest).sum(1)
        wrong = torch.einsum("wkd,wd->wk", self.targets[others.to(device)], rest)
        loss = functional.softplus(-right).sum() + functional.softplus(wrong).sum()
        return loss, kept.sum().to(device)

    def others(self, ids: Tensor, sizes: Tensor, draws: Draws) -> Tensor:
        """[m drawn] words for each of m, by the square root of their counts, never the word itself."""
        chance = torch.cat(draws.each("others", sizes * self.drawn)).view(len(ids), self.drawn)
        ends = self.weight.cpu()
        mine = ends.diff(prepend=ends.new_zeros(1))[ids, None]
        point = chance * (ends[-1] - mine)
        point = point + mine * (point >= ends[ids, None] - mine)
        return torch.searchsorted(ends, point.contiguous(), right=True).clamp_max(len(ends) - 1)

    def _left(self, units: Any, draws: Draws) -> Tensor:
        """Which units [m] stay: all words, and all spans of a text but `dropped` of them."""
        span = units.length > 1
        text = units.text[span]
        sizes = torch.bincount(text, minlength=len(draws))
        order = text.argsort(stable=True)
        chance = torch.cat(draws.each("dropped", sizes))
        # Within each text the spans with the least chance go.
        line = chance.argsort(stable=True)
        line = line[text[order][line].argsort(stable=True)]
        rank = torch.empty_like(line)
        rank[line] = torch.arange(len(line)) - (sizes.cumsum(0) - sizes)[text[order][line]]
        stays = torch.ones_like(span)
        stays[span.nonzero()[:, 0][order]] = rank >= self.dropped
        return stays


def word_in_sentence(
    *,
    drawn: int = 10,
    threshold: float = 1e-3,
    dropped: int = 4,
    stream: str = "x",
    tower: str = "encoder",
    towers: Mapping[str, Any] | None = None,
) -> Local:
    """The term on the texts of a stream, whose encoder is `word_ngrams`.

    drawn      words against each target
    threshold  T above: the smaller, the less is learned of frequent words
    dropped    spans that each sentence loses while training

    Raises UsageError for numbers that make no sense, and for another encoder.

    >>> import nearfar as nf
    >>> encoder = nf.WordNgrams.fit({"text": ["near and far", "far and near"]}, dimension=8, buckets=100)
    >>> nf.word_in_sentence(towers={"encoder": encoder}).stream
    'x'
    """
    if drawn < 1 or dropped < 0 or not threshold > 0:
        raise UsageError(
            f"{drawn} drawn words, threshold {threshold}, {dropped} dropped spans",
            where="word_in_sentence",
            remedy="draw one at least, drop none or more, give a threshold above zero",
        )
    made = (towers or {}).get(tower)
    if made is None or not hasattr(made, "counts"):
        raise UsageError("the words are not known", where="word_in_sentence", remedy="take the encoder word_ngrams")
    return Local(WordInSentence(made.counts, made.dimension, drawn, threshold, dropped), stream)
