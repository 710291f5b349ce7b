"""Isotropy by the partition function: whether the softmax over all vectors has the same normaliser in every direction.

        Z(c) = sum_i exp(c . v_i),    isotropy = min_c Z(c) / max_c Z(c)    over the unit eigenvectors c of V^T V, and their negatives

1 for vectors that look the same from everywhere. It sees the common mean and the length of the vectors, which `iso_score` does not.
Of unit vectors Z varies by a factor e^2 at most, so give them as the model made them, or scale them by the inverse temperature.
Source: Mu and Viswanath 2018 (arXiv 1702.01417), section 2.2, after Arora et al. 2016. An eigenvector has no sign; taking both makes the
figure a function of the vectors alone.
"""

from __future__ import annotations

from typing import Any

import torch

from nearfar.core.card import Card
from nearfar.maths.spectra import STRIP
from nearfar.probes.figures import Figures
from nearfar.probes.shared.tensors import embeddings

CARD = Card(
    name="partition_isotropy",
    summary="least over greatest partition function of all directions, 0 to 1",
    related=("iso_score", "conformity"),
    papers=("1702.01417",),
)


def partition_isotropy(vectors: Any) -> Figures:
    """Isotropy of vectors [n d]; needs the eigenvectors of a d-by-d matrix.

    Equal eigenvalues leave their eigenvectors open, and with them the figure, a little.

    >>> import torch
    >>> round(partition_isotropy(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])).figure(), 6)
    1.0

    Raises DataError for NaN and fewer than two rows.
    """
    table = embeddings(vectors)
    width = table.shape[1]
    chunks = table.split(max(1, STRIP // width))
    product = torch.zeros(width, width, dtype=torch.float64)
    for rows in chunks:
        product += rows.double().T @ rows.double()
    axes = torch.linalg.eigh(product).eigenvectors
    sums = torch.full((2 * width,), -torch.inf, dtype=torch.float64)
    for rows in chunks:
        seen = rows.double() @ axes
        sums = torch.logaddexp(sums, torch.cat([seen.logsumexp(0), (-seen).logsumexp(0)]))
    value = float((sums.min() - sums.max()).exp())
    return Figures(
        "partition_isotropy", "isotropy", {"isotropy": value}, facts={"records": len(table), "dimension": width}
    )
