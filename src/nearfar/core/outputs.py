"""`Outputs`: what a local term of a recipe sees of one micro-batch - vectors with the columns of their records, states, inputs, chance.

A local term is one record's own loss (reconstruction, masked tokens, next item, classification): it needs what the contrast does not,
and must not need batch mates. Everything here is of the records of one micro-batch and bears its graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nearfar.core.draws import Draws
from nearfar.core.rows import Rows


@dataclass(frozen=True, eq=False)
class Outputs:
    """Of the n records of a micro-batch in one stream.

    rows      vectors [n d] as they are contrasted (after the head), with the columns of the records: `label`, ids, those of the data
    features  vectors [n e] before the head, as the encoder gives them
    states    vectors [n t e] of every token or item with their mask and a column of what stood there (`token`, `item`); None where the
              encoder has none
    inputs    what the encoder was given: prepared records after the views of inputs; `plain` before them
    draws     the chance of the records: a draw from it is the same in both passes, on every rank, in any micro-batch
    tower     the encoder, for a second pass of changed inputs (`tower(inputs, states=True)` gives rows and states) or for the table of
              its tokens
    """

    rows: Rows
    features: Tensor
    states: Rows | None
    inputs: Any
    plain: Any
    draws: Draws
    tower: Any
