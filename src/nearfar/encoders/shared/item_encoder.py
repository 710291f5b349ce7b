"""What encoders of sequences of items share: their settings, what they make of records, and that the latest state is the vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from nearfar.core.item_sequences import MAX_ITEMS, highest_item, item_tokens
from nearfar.core.rows import Rows
from nearfar.core.tokens import Tokens
from nearfar.core.tree import to_json
from nearfar.encoders.shared.settings import MAX_WIDTH, check_dropout, check_sizes, wrong
from nearfar.maths.pooling import pooled


@dataclass(frozen=True)
class ItemSetup:
    """What the architecture is; stored with every model. Items are numbered from 1 to `items`."""

    items: int
    dimension: int
    depth: int
    dropout: float
    max_items: int

    def __post_init__(self) -> None:
        check_sizes(self, items=MAX_ITEMS, dimension=MAX_WIDTH, depth=100, max_items=2**20)
        check_dropout(self.dropout)


class ItemEncoder(nn.Module):
    """The frame: an encoder adds `fit`, `from_config`, its network, and `outputs`, the state at every item."""

    def __init__(self, setup: ItemSetup) -> None:
        super().__init__()
        self.setup, self.dimension = setup, setup.dimension

    def prepare(self, records: Sequence[Any]) -> Tokens:
        """Sequences (lists or 1-d arrays) as items, the latest `max_items` of each; 0 is padding and dropped, -1 a hidden item.

        Raises DataError for a record that is no sequence of items, holds none, or one that the encoder was not made for.
        """
        return item_tokens(records, self.setup.items, self.setup.max_items)

    def outputs(self, inputs: Tokens) -> Rows:
        """States at each item: vectors [n t d], their mask, and a column `item` [n t] of what stood there."""
        raise NotImplementedError

    def forward(self, inputs: Tokens, side: str = "query", *, states: bool = False) -> Any:
        """One row a sequence: vectors [n dimension], not normalised; with `states` a pair: those rows, and what `outputs` gives."""
        made = self.outputs(inputs)
        assert made.mask is not None
        rows = pooled(made.vectors, made.mask, "last")
        return (rows, made) if states else rows

    def cost(self, inputs: Tokens) -> Tensor:
        """Items of each sequence [n]."""
        return inputs.lengths

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON."""
        return {"setup": to_json(self.setup)}


def items_of_all(records: Mapping[str, Sequence[Any]], least: int = 0) -> int:
    """The highest item of all sides, at least `least`. Raises DataError for a record that is no sequence of items."""
    if least < 0:
        raise wrong("items", least, "give the highest item that there is, or 0 for the highest of the records")
    return max([least, *(highest_item(records[side]) for side in records)])
