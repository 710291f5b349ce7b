"""The linear classifier by which probes of geometry read a label from vectors; `linear_probe` tunes one, this does not.

Columns are scaled to variance one, and the multinomial logistic regression has the penalty |W|^2 / (2 n), scikit-learn's C = 1.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.maths.logistic_regression import logistic_path


def predictions(
    train: Float[Tensor, "m d"], labels: Int64[np.ndarray, " m"], test: Float[Tensor, "n d"]
) -> Int64[np.ndarray, " n"]:
    """Labels [n] of `test` by a classifier fitted to `train`.

    >>> x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
    >>> predictions(x, np.array([7, 7, 9, 9]), torch.tensor([[3.0], [-3.0]])).tolist()
    [9, 7]
    """
    kinds, codes = np.unique(labels, return_inverse=True)
    mean, deviation = train.mean(0, dtype=torch.float64), train.double().std(0, correction=0)
    # a column that differs by rounding only says nothing and must not be blown up
    dead = deviation <= 1e-6 * train.double().square().mean().sqrt()
    scale = torch.where(dead, 0.0, 1 / torch.where(dead, 1.0, deviation))
    targets = torch.eye(len(kinds), dtype=torch.float64)[torch.from_numpy(codes)]
    ((weights, bias),) = logistic_path((train.double() - mean) * scale, targets, [1 / len(train)])
    return kinds[((test.double() - mean) * scale @ weights + bias).argmax(1).numpy()]
