"""A gated recurrent network for sequences of items: what a user did, one item after the other.

        x_t = dropout(E[item_t]);    h_t = GRU(x_t, h_(t-1)), `depth` layers;    v = h_T

The last state is the vector; a state knows nothing of what comes after it, so each is also a vector of the sequence so far, which
`outputs` gives to a next-item term. Kin: `self_attention` looks back at all items at once.
Source: Cho et al. 2014 (arXiv 1406.1078), the unit; Hidasi et al. 2015 (GRU4Rec, arXiv 1511.06939), on sequences of items, where one layer
of 100 to 1000 units did best. 64 and sequences of 50 are the customary sizes of later comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.item_sequences import table_rows
from nearfar.core.rows import Rows
from nearfar.core.seeding import seeded
from nearfar.core.tokens import Tokens
from nearfar.core.tree import from_json
from nearfar.encoders.shared.item_encoder import ItemEncoder, ItemSetup, items_of_all
from nearfar.encoders.shared.settings import stored

CARD = Card(
    name="gru",
    summary="a gated recurrent network for sequences of items",
    related=("self_attention",),
    reads=("sequence",),
    public=("Gru",),
)


class Gru(ItemEncoder):
    """See the file's text. Items are 1 to `setup.items`; `items.weight[:-1]` are their vectors, the last row is the hidden item's.

    >>> import torch, nearfar as nf
    >>> sequences = [[3, 1, 2], [2], [1, 1, 4, 3]]
    >>> encoder = nf.Gru.fit({"query": sequences}, dimension=8).eval()
    >>> together, alone = encoder(encoder.prepare(sequences)), encoder(encoder.prepare([[2]]))
    >>> together.vectors.shape, torch.allclose(together.vectors[1:2], alone.vectors, atol=1e-6)
    (torch.Size([3, 8]), True)
    """

    def __init__(self, setup: ItemSetup) -> None:
        super().__init__(setup)
        self.items = nn.Embedding(setup.items + 1, setup.dimension)
        nn.init.normal_(self.items.weight, std=setup.dimension**-0.5)
        between = setup.dropout if setup.depth > 1 else 0.0
        self.network = nn.GRU(setup.dimension, setup.dimension, setup.depth, batch_first=True, dropout=between)

    @classmethod
    def fit(
        cls,
        records: Mapping[str, Sequence[Any]],
        *,
        dimension: int = 64,
        depth: int = 1,
        dropout: float = 0.1,
        max_items: int = 50,
        items: int = 0,
        seed: int = 0,
    ) -> Gru:
        """An encoder with random weights for items 1 to the highest of all sides, or to `items` if that is more.

        dimension  length of an item's vector, of the state and of the result
        depth      layers, one above the other
        dropout    while training: of the items' vectors, and between layers
        max_items  of a longer sequence the latest are read
        items      as many have a vector at least, though some may be in no sequence: what only ever comes next

        Errors: UsageError for settings that make no sense, DataError for a record that is no sequence of items.
        """
        setup = ItemSetup(items_of_all(records, items), dimension, depth, dropout, max_items)
        with seeded(seed):
            return cls(setup)

    def outputs(self, inputs: Tokens) -> Rows:
        """States after each item, for local terms: vectors [n t d], their mask, and a column `item` [n t] of what stood there."""
        items, mask = inputs.padded(0, self.items.weight.device)
        seen = functional.dropout(
            self.items(table_rows(items, self.setup.items)), self.setup.dropout, training=self.training
        )
        # Padding stands behind, where no state that counts has seen it yet.
        return Rows(self.network(seen)[0], {"item": items}, mask)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Gru:
        """The same architecture with fresh weights. Raises DataError if the configuration makes no sense."""
        with stored("a gru"):
            return cls(from_json(ItemSetup, config.get("setup"), "setup"))
