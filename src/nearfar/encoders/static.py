"""Static encoder: a text is the weighted sum of one learned vector a unit. Made for CPUs.

        v(text) = sum over fields f, units u of  a_f * (1 + log n_uf) * w_u * E_u
        w_u     = log(N / (n_u + 1/2)) ** RARITY

n_uf counts unit u in field f of the text, n_u the texts of the corpus that hold u, N all of them. E is learned, the weights
are not: learning them gained nothing (see below). Queries and documents share one table, so the encoder matches equal words
before it has learned anything, as BM25 does; training then moves together what means the same. There is no word order and
no context: a step is one sparse sum.

A text may have two fields, its head (a title, a name) and its body, divided by `FIELD`. The head counts `head_weight`
times; without a `FIELD` all is body.

What each mechanism is worth was measured on development packages of the code search (docs/records/static_encoder.json): trigrams,
buckets for unseen words and the head earn their place by far; learned weights of units, token dropout, batches from few
packages, larger batches, start vectors from elsewhere and a layer on top do not; a table a side and word pairs do harm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.ragged import taken
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.text_fields import check_texts
from nearfar.encoders.shared.settings import damaged, wrong
from nearfar.encoders.shared.tokenizing import Vocabulary
from nearfar.maths.bag_sums import bag_sums
from nearfar.maths.layers import is_size

CARD = Card(
    name="static",
    summary="one learned vector a word part and character trigram, summed by rarity: text on CPUs",
    reads=("text",),
    public=("Static",),
)

READER = "the static encoder"
RARITY = 0.5
MAX_ROWS = 4_000_000  # of the table: a damaged configuration must not ask for all memory


@dataclass(frozen=True, eq=False)
class Bags:
    """Prepared texts: units `ids` [m] int32 and `amounts` [m] float32 of text i lie at offsets[i]:offsets[i + 1]."""

    ids: Tensor
    amounts: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, index: Any) -> Bags:
        """The texts at `index` [n], in that order."""
        place, offsets = taken(self.offsets, index)
        return Bags(self.ids.take(place), self.amounts.take(place), offsets)  # unlike index_select by all cores


class Static(nn.Module):
    """A bag of units, see the file's text. `fit` makes one for a corpus; queries and documents are treated alike."""

    weight: Tensor
    tables: ClassVar = ("table",)  # of which a step moves few rows

    def __init__(self, vocabulary: Vocabulary, dimension: int, head_weight: float) -> None:
        super().__init__()
        self.vocabulary, self.dimension, self.head_weight = vocabulary, dimension, head_weight
        self.table = nn.Parameter(torch.empty(len(vocabulary), dimension))
        self.register_buffer("weight", torch.ones(len(vocabulary)))
        nn.init.normal_(self.table, std=dimension**-0.5)

    @classmethod
    def fit(
        cls,
        texts: Mapping[str, Sequence[str]],
        *,
        dimension: int = 256,
        min_count: int = 2,
        size: int = 100_000,
        buckets: int = 8_192,
        head_weight: float = 3.0,
        seed: int = 0,
    ) -> Static:
        """An encoder with random vectors for the texts of all sides together.

        dimension    length of a vector
        min_count    texts that must hold a unit for it to get a vector of its own
        size         units that get one at most
        buckets      vectors that all other units share by hash
        head_weight  how much a unit in the head counts, where one in the body counts 1
        """
        for name, value, least in (
            ("dimension", dimension, 1),
            ("buckets", buckets, 1),
            ("min_count", min_count, 1),
            ("size", size, 0),
        ):
            if value < least:
                raise wrong(name, value, f"it must be positive, {least} at least")
        if not 0 < head_weight < math.inf:
            raise wrong("head_weight", head_weight, "it must be positive")
        every = [text for side in sorted(texts) for text in texts[side]]
        check_texts(every, READER)
        vocabulary, frequency = Vocabulary.fit(every, min_count=min_count, size=size, buckets=buckets)
        with seeded(seed):
            made = cls(vocabulary, dimension, head_weight)
        with torch.no_grad():
            made.table.normal_(0, dimension**-0.5, generator=torch.Generator().manual_seed(seed))
            # a unit in every text keeps a little weight: a text of such units alone must not be the zero vector
            rarity = np.log((len(every) + 1) / (frequency + 0.5)).clip(0.01)
            made.weight.copy_(torch.from_numpy(rarity**RARITY))
        return made

    def prepare(self, records: Sequence[Any]) -> Bags:
        """Texts as bags of units: a function of the texts and the vocabulary, not of weights.

        Raises DataError for a record that is no text. An empty text is an empty bag, whose vector is zero.
        """
        check_texts(records, READER)
        found = self.vocabulary.weigh(records, self.head_weight)
        return Bags(*(torch.from_numpy(part) for part in (found.ids, found.amounts, found.offsets)))

    def forward(self, inputs: Bags, side: str = "query") -> Rows:
        """One row a text: vectors [n dimension], not normalised (the cosine does that)."""
        device = self.table.device
        ids = inputs.ids.to(device)
        amounts = inputs.amounts.to(device) * self.weight[ids]
        return Rows(bag_sums(self.table, ids, amounts, inputs.offsets.to(device, ids.dtype)))

    def cost(self, inputs: Bags) -> Tensor:
        """Units of each text [n]: the work grows with them."""
        return inputs.offsets.diff()

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {
            "dimension": self.dimension,
            "head_weight": self.head_weight,
            "buckets": self.vocabulary.buckets,
            "units": self.vocabulary.known,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Static:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        dimension: Any = config.get("dimension")
        head_weight: Any = config.get("head_weight")
        buckets: Any = config.get("buckets")
        known: Any = config.get("units")
        sound = (
            is_size(dimension, MAX_ROWS)
            and is_size(buckets, MAX_ROWS)
            and isinstance(head_weight, (int, float))
            and 0 < head_weight < math.inf
            and isinstance(known, list)
            and all(isinstance(unit, str) for unit in known)
            and len(set(known)) == len(known)
            and len(known) + buckets <= MAX_ROWS
        )
        if not sound:
            raise damaged("a static encoder", "numbers or units that make no sense")
        return cls(Vocabulary(known, buckets), dimension, float(head_weight))
