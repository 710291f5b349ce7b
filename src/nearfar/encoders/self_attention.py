"""Causal self-attention for sequences of items: what a user did, each item looking back at all before it.

        h_0 = dropout(E[item_t] + P[T - t]);    h_l = block_l(h_(l-1)), causal;    v = norm(h_depth)_T

Places are counted back from the latest item, so that "the latest but two" has one vector however long the history is; with sequences
padded in front this is the numbering of the paper. A state knows nothing of what comes after it, which `outputs` gives to a next-item
term. Kin: `gru` carries one state from item to item; `transformer` reads texts, both ways.
Source: Kang and McAuley 2018 (SASRec, arXiv 1808.09781): two blocks, the last 50 items of sparse data, dropout of 0.2 (0.5 where items
are rare). Our blocks have GELU and a perceptron of four times the width, as BERT's, where SASRec has ReLU and the width itself; its
one head of 50 is here two of 32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.item_sequences import table_rows
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.tokens import Tokens
from nearfar.core.tree import from_json
from nearfar.encoders.shared.item_encoder import ItemEncoder, ItemSetup, items_of_all
from nearfar.encoders.shared.settings import check_heads, stored
from nearfar.maths.transformer_blocks import INITIAL_STD, Block

CARD = Card(
    name="self_attention",
    summary="causal self-attention for sequences of items, the state at the latest one",
    related=("gru", "transformer"),
    reads=("sequence",),
    public=("SelfAttention",),
)


@dataclass(frozen=True)
class _Setup(ItemSetup):
    heads: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.dimension, self.heads)


class SelfAttention(ItemEncoder):
    """See the file's text. Items are 1 to `setup.items`; `items.weight[:-1]` are their vectors, the last row is the hidden item's.

    >>> import torch, nearfar as nf
    >>> sequences = [[3, 1, 2], [2], [1, 1, 4, 3]]
    >>> encoder = nf.SelfAttention.fit({"query": sequences}, dimension=8).eval()
    >>> together, alone = encoder(encoder.prepare(sequences)), encoder(encoder.prepare([[2]]))
    >>> together.vectors.shape, torch.allclose(together.vectors[1:2], alone.vectors, atol=1e-6)
    (torch.Size([3, 8]), True)
    """

    def __init__(self, setup: _Setup) -> None:
        super().__init__(setup)
        self.items = nn.Embedding(setup.items + 1, setup.dimension)
        self.places = nn.Embedding(setup.max_items, setup.dimension)
        for table in (self.items, self.places):
            nn.init.normal_(table.weight, std=INITIAL_STD)
        self.blocks = nn.ModuleList(
            [Block(setup.dimension, setup.heads, dropout=setup.dropout) for _ in range(setup.depth)]
        )
        self.norm = nn.LayerNorm(setup.dimension)

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Sequence[Any]],
        *,
        dimension: int = 64,
        depth: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        max_items: int = 50,
        items: int = 0,
        seed: int = 0,
    ) -> SelfAttention:
        """An encoder with random weights for items 1 to the highest of all sides, or to `items` if that is more.

        dimension  length of a vector, a multiple of `heads`
        depth      blocks
        dropout    while training: of embeddings, attention and what each block adds
        max_items  of a longer sequence the latest are read
        items      as many have a vector at least, though some may be in no sequence: what only ever comes next

        Errors: UsageError for settings that make no sense, DataError for a record that is no sequence of items.
        """
        setup = _Setup(items_of_all(records, items), dimension, depth, dropout, max_items, heads)
        with seeded(seed):
            return cls(setup)

    def outputs(self, inputs: Tokens) -> Rows:
        """States at each item, for local terms: vectors [n t d], their mask, and a column `item` [n t] of what stood there."""
        items, mask = inputs.padded(0, self.items.weight.device)
        back = mask.sum(1, keepdim=True) - 1 - torch.arange(mask.shape[1], device=mask.device)
        states = self.items(table_rows(items, self.setup.items)) + self.places(back.clamp_min(0))
        states = functional.dropout(states, self.setup.dropout, self.training)
        for block in self.blocks:
            states = block(states, mask, causal=True)
        return Rows(self.norm(states), {"item": items}, mask)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SelfAttention:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("self-attention"):
            return cls(from_json(_Setup, config.get("setup"), "setup"))
