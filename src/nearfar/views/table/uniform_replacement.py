"""Uniform replacement (CLAN): some features of a standardised row are replaced by uniform noise, whatever they are.

        y_j = u_j with probability `share`, else x_j        u_j ~ U(-spread, spread)

Seen are the encoder's inputs, which `mlp` has standardised, so that a spread of 1.5 is one and a half standard deviations of every
feature. What comes out is no row of the table's kind: a negative, not a positive. At least one feature is replaced: of few features
often none would be drawn, and a row would be a negative of itself. A share of 0 leaves all as they are.
Kin: `marginal_swap` takes values that other rows have there; a value drawn here may be none that the feature ever has, as for
features of 0 and 1.
Source: Wilkie et al. 2025 (CLAN, IEEE CSR, pages 206-213), by the authors' code: share 0.1, spread 1.5; the least of one feature is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nearfar.core.card import Card
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.views.shared.options import check_share

CARD = Card(
    name="uniform_replacement",
    summary="a share of the features of a standardised row replaced by uniform noise, at least one",
    related=("marginal_swap",),
    reads=("table",),
)


@dataclass(frozen=True)
class UniformReplacement:
    """See `uniform_replacement`."""

    share: float
    spread: float
    on_inputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_share(self.share, CARD.name)
        if not 0 < self.spread < float("inf"):
            raise UsageError(
                f"a spread of {self.spread}",
                where=f"{CARD.name}.spread",
                remedy="give a number above zero, in standard deviations",
            )

    def __call__(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Inputs [n f] as inputs [n f]. Raises UsageError for what is no table of floats."""
        if inputs.ndim != 2 or not inputs.is_floating_point():
            raise UsageError(
                f"inputs of shape {list(inputs.shape)} and type {inputs.dtype} are no standardised rows",
                where=CARD.name,
                remedy="give it to a stream of tables: what mlp prepares, floats [n f]",
            )
        width = inputs.shape[1]
        if not self.share or not width:
            return inputs.clone()
        which = draws.uniform("uniform_replacement, which", width)
        chosen = (which < self.share) | (which == which.amin(1, keepdim=True))
        noise = self.spread * (2 * draws.uniform("uniform_replacement, value", width) - 1)
        return torch.where(chosen.to(inputs.device), noise.to(inputs.device, inputs.dtype), inputs)


def uniform_replacement(*, share: float = 0.1, spread: float = 1.5) -> UniformReplacement:
    """A view of standardised rows [n f]: each feature with probability `share`, and at least one, is noise from -spread to spread.

    Raises UsageError for a share that is none, and a spread that is not above zero.

    >>> import torch, nearfar as nf
    >>> from nearfar.core.draws import Draws
    >>> made = nf.uniform_replacement()(torch.full((3, 5), 9.0), Draws(0, epoch=0, record=torch.arange(3)))
    >>> ((made != 9).sum(1) >= 1).all().item(), made.shape
    (True, torch.Size([3, 5]))
    """
    return UniformReplacement(share, spread)
