"""Noise negatives (DCLR): Gaussian vectors as negatives of every row, moved to where they disturb the batch most.

        e_j ~ N(0, sigma^2 I)                                      `per_query` times as many as queries, shared by the batch
        U   = sum_i log sum_j exp(cos(h_i, e_j) / t)               what the noise adds to the loss of the batch
        e_j <- e_j + step_size g_j / |g_j|,   g_j = dU / de_j      `ascent` times

The ascent fills the directions into which all representations crowd. It looks at the whole batch, so it is done once a step
before any tile; its gradient is written out here, for a loss that is only evaluated has no graph to take it from:

        g_j = sum_i p_ij (h_i - cos_ij e_j) / (t |e_j|),   p_ij = softmax of row i,   h and e of unit length

Neither h nor e gets a gradient from it. Noise belongs to no record: its columns hold -1 (whole numbers), not-a-number, or False, and
`noise` [k] tells it from the batch. Draws belong to (seed, step, number of the vector).
Kin: `mixed_negatives` are made of real keys. With the rule `decoupled` and the relation's `drop_negatives(alike(...))` it is DCLR.
Source: Zhou et al. 2022 (arXiv 2205.00656): noise as negatives and its ascent by normalised gradients. Its loss code is not public: that
the batch shares the noise, 4 steps of 1e-3 and one vector a query are our reading, to be tuned.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nearfar.core.card import Card
from nearfar.core.draws import Chance
from nearfar.core.errors import UsageError
from nearfar.core.rows import Rows, cat
from nearfar.maths.strangers import strangers

CARD = Card(
    name="noise_negatives",
    summary="Gaussian vectors as negatives, moved uphill on the batch's loss",
    related=("mixed_negatives", "decoupled"),
)

# Cosines held at once in a step of the ascent: 64 MB of float32.
_COSINES = 2**24


class NoiseNegatives(Chance):
    """A `keys` stage: the keys, then noise; call `update()` once after each optimiser step."""

    def __init__(
        self, per_query: float, sigma: float, ascent: int, step_size: float, temperature: float, seed: int
    ) -> None:
        super().__init__("noise_negatives", seed)
        if not (per_query > 0 and sigma > 0 and ascent >= 0 and temperature > 0):
            raise UsageError(
                f"{per_query} noise vectors a query of sigma {sigma}, {ascent} steps, temperature {temperature}",
                remedy="give numbers above zero, and zero or more steps",
            )
        self.per_query, self.sigma, self.ascent = per_query, sigma, ascent
        self.step_size, self.temperature = step_size, temperature

    def forward(self, queries: Rows, keys: Rows) -> Rows:
        """Keys with their gradient, then noise without; the column `noise` is False, then True."""
        with torch.no_grad():
            noise = self._noise(queries.vectors.detach())
        fresh = keys.with_columns(noise=torch.zeros(len(keys), dtype=torch.bool))
        made = strangers(noise, keys).with_columns(noise=torch.ones(len(noise), dtype=torch.bool))
        return cat([fresh, made])

    def _noise(self, queries: Tensor) -> Tensor:
        if queries.ndim != 2:
            raise UsageError("noise has no tokens", remedy="give one vector a row, [r d]")
        n, d = queries.shape
        device = queries.device
        number = torch.arange(max(1, round(self.per_query * n)), device=device)
        noise = self.sigma * self.normal("noise", number[:, None], torch.arange(d, device=device)).to(queries.dtype)
        unit = F.normalize(queries, dim=1)
        for _ in range(self.ascent):
            direction = F.normalize(noise, dim=1)
            pull, along = torch.zeros_like(noise), noise.new_zeros(len(noise))
            for some in unit.split(max(1, _COSINES // len(noise))):
                cosines = some @ direction.T
                share = torch.softmax(cosines / self.temperature, 1)
                pull += share.T @ some
                along += (share * cosines).sum(0)
            uphill = pull - along[:, None] * direction
            # Positive factors of the gradient are left out: only its direction is used, and none where it is zero.
            noise = noise + self.step_size * F.normalize(uphill, dim=1)
        return noise


def noise_negatives(
    *,
    per_query: float = 1.0,
    sigma: float = 1.0,
    ascent: int = 4,
    step_size: float = 1e-3,
    temperature: float = 0.05,
    seed: int = 0,
) -> NoiseNegatives:
    """Noise as further keys [k + per_query * q, d], for `keys=`. `ascent=0` leaves the noise where it is drawn.

    Raises UsageError for numbers that make no sense, and for token matrices.

    >>> import torch, nearfar as nf
    >>> x, y = torch.randn(4, 8, requires_grad=True), torch.randn(4, 8)
    >>> nf.contrast(nf.decoupled, x, y, nf.paired(), keys=nf.noise_negatives(), temperature=0.05).backward()
    """
    return NoiseNegatives(per_query, sigma, ascent, step_size, temperature, seed)
