"""Frequency mask: some frequencies of a series are taken out.

        y = F^-1( m * F x ),    m_f = 0 with probability share, else 1, drawn for each frequency and channel of a record

F is the Fourier transform over the steps. Frequency zero (the mean) always stays, and so does at least one other, so a series never
becomes a constant. A missing value (NaN) counts as its channel's mean in the transform, and is missing afterwards.
Kin: `jitter` touches all frequencies alike; `scaling` keeps their proportions.
Source: Zhang et al. 2022 (TF-C, arXiv 2206.08496), who remove and add frequencies; the share is 0.1 in their code. They perturb the
spectrum itself, for an encoder of spectra, and may remove the mean; this view goes back to time, for any encoder of series. Adding
frequencies would be another view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nearfar.core.arrays import Arrays, as_floats, back_to, by_column
from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.views.shared.options import check_share

CARD = Card(
    name="frequency_mask",
    summary="a share of the frequencies of a series, drawn per record, is taken out",
    related=("jitter", "scaling", "time_mask"),
    reads=("series",),
)


@dataclass(frozen=True)
class FrequencyMask:
    """See `frequency_mask`."""

    share: float
    on_inputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)

    def __call__(self, records: Arrays, draws: Draws) -> list[Any]:
        """Series [t] or [t c] as series of the same shape, arrays or tensors as they were given."""
        series = [as_floats(record, i, (1, 2), "a series [t] or [t c]") for i, record in enumerate(records)]
        tables = [by_column(one) for one in series]
        sizes = [(len(table) // 2, table.shape[1]) for table in tables]
        chances = draws.each("frequency_mask", [f * c for f, c in sizes])
        made = []
        for one, table, size, chance, record in zip(series, tables, sizes, chances, records, strict=True):
            # Drawn channel by channel: a further channel changes nothing of the earlier ones.
            masked = self._masked(table, chance.numpy().reshape(size[1], size[0]).T)
            made.append(back_to(masked.reshape(one.shape), record))
        return made

    def _masked(self, table: np.ndarray, chance: np.ndarray) -> np.ndarray:
        """A series [t c] without the frequencies 1 .. t // 2 whose chance [f c] falls below the share."""
        missing = np.isnan(table)
        mean = np.where(missing, 0, table).sum(0) / (~missing).sum(0).clip(1)
        removed = chance < self.share
        if len(chance):
            removed[chance.argmax(0), np.arange(chance.shape[1])] = False
        if not removed.any():
            return table.copy()
        spectrum = np.fft.rfft(np.where(missing, mean, table), axis=0)
        spectrum[1:][removed] = 0
        return np.where(missing, np.nan, np.fft.irfft(spectrum, n=len(table), axis=0))


def frequency_mask(*, share: float = 0.1) -> FrequencyMask:
    """A view of series ([t] or [t c], arrays or tensors): each frequency but the mean goes with probability `share`.

    At least one frequency besides the mean stays, so no series becomes a constant. share = 0 leaves all as they are.
    Raises UsageError for a share that is none, DataError for a record that is no series.

    >>> import numpy as np, torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> two = np.sin(np.arange(64) * 2 * np.pi / 64 * 3) + np.sin(np.arange(64) * 2 * np.pi / 64 * 9) + 5
    >>> (made,) = nf.frequency_mask(share=0.5)([two], Draws(0, epoch=0, record=torch.tensor([7])))
    >>> round(float(made.mean()), 6)
    5.0
    """
    return FrequencyMask(share)
