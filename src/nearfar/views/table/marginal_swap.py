"""Marginal swap (SCARF): some features of a row are replaced by values that other rows of the table have there.

        y_j = x_j,  or for q = floor(share M) of the M features, drawn without replacement:  y_j = X_ij, i uniform over the rows of X

Each feature draws its own row i, so what is drawn are the features' marginals: each value is plausible by itself, their
combination is not that of one row. X is the table of all training records, or another one that is given as `reference`; it is not
the batch, since a record's view must not depend on its batch mates.
How the training hands it over: a view may have a method `bind(records) -> view`, which is called once, before the training, with
all training records; what it returns is the view that is used.
Kin: `jitter` for series adds noise instead; there is no order among features, so nothing is cropped.
Source: Bahri et al. 2022 (SCARF, arXiv 2106.15147), algorithm 1, share 0.6. There only one of the two views is corrupted: give
this view to one stream and none to the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nearfar.core.arrays import Arrays, as_floats, back_to
from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import DataError, UsageError
from nearfar.views.shared.options import check_share

CARD = Card(
    name="marginal_swap",
    summary="a share of the features of a row replaced by values of other rows, each from its own marginal",
    related=("jitter",),
    reads=("table",),
)


@dataclass(frozen=True, eq=False)
class MarginalSwap:
    """See `marginal_swap`."""

    share: float
    reference: np.ndarray | None
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def bind(self, records: Arrays) -> MarginalSwap:
        """The same view, drawing from the columns of these records; a reference that was given at first stays.

        Raises DataError for no records, or records that are no rows of one length.
        """
        return self if self.reference is not None else MarginalSwap(self.share, _table(records))

    def __call__(self, records: Arrays, draws: Draws) -> list[Any]:
        """Rows [m] as rows [m], arrays or tensors as they were given."""
        if self.reference is None:
            raise UsageError(
                "marginal_swap has no table to draw from",
                remedy="give it one: nf.marginal_swap(reference=table), or view = view.bind(records)",
            )
        count, width = self.reference.shape
        swapped = int(self.share * width + 1e-9)  # 0.29 * 100 is a little less than 29
        chosen = draws.uniform("marginal_swap, which", width).argsort(1)[:, :swapped].numpy()
        places = draws.integers("marginal_swap, row", count, width).numpy()
        made = []
        for i, record in enumerate(records):
            row = as_floats(record, i, (1,), "a row of numbers [m]").copy()
            if len(row) != width:
                raise DataError(
                    f"a row of {len(row)} features, where the reference has {width}",
                    where=f"record {i}",
                    remedy="give rows of the same table",
                )
            row[chosen[i]] = self.reference[places[i, chosen[i]], chosen[i]]
            made.append(back_to(row, record))
        return made


def _table(records: Arrays) -> np.ndarray:
    rows = [as_floats(record, i, (1,), "a row of numbers [m]") for i, record in enumerate(records)]
    if not rows:
        raise DataError("a reference without rows has no marginals", remedy="give the training records")
    for i, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise DataError(
                f"a row of {len(row)} features after rows of {len(rows[0])}",
                where=f"record {i}",
                remedy="give rows of the same table",
            )
    return np.stack(rows)


def marginal_swap(*, share: float = 0.6, reference: Arrays | None = None) -> MarginalSwap:
    """A view of rows of a table (1-d float arrays or tensors): `share` of the features, rounded down, come from other rows.

    reference  the rows that values are drawn from, [n m]; None: the training records, by `bind`

    share = 0 leaves all as they are; share = 1 leaves nothing of a row but plausible values. Rows have all their features always.
    Raises UsageError for a share that is none and for a view that was not bound, DataError for rows of other lengths.

    >>> import numpy as np, torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> table = np.arange(40.0).reshape(8, 5)
    >>> (made,) = nf.marginal_swap().bind(table)([-np.ones(5)], Draws(0, epoch=0, record=torch.tensor([4])))
    >>> int((made == -1).sum()), bool(np.isin(made[made >= 0], table).all())
    (2, True)
    """
    return MarginalSwap(share, None if reference is None else _table(reference))
