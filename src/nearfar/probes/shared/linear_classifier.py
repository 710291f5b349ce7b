"""The linear classifier by which probes of geometry read a label from vectors; `linear_probe` tunes one, this does not.

Columns are scaled to variance one, and the multinomial logistic regression has the penalty |W|^2 / (2 n), scikit-learn's C = 1.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nearfar.maths.logistic_regression import logistic_path
from nearfar.probes.shared.standardise import standardiser

ROUNDING = 1e-6  # a column that differs by no more of the whole says nothing and must not be blown up


def predictions(
    train: Float[Tensor, "m d"], labels: Int64[np.ndarray, " m"], test: Float[Tensor, "n d"]
) -> Int64[np.ndarray, " n"]:
    """Labels [n] of `test` by a classifier fitted to `train`.

    >>> x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
    >>> predictions(x, np.array([7, 7, 9, 9]), torch.tensor([[3.0], [-3.0]])).tolist()
    [9, 7]
    """
    kinds, codes = np.unique(labels, return_inverse=True)
    standard = standardiser(train.numpy(), least=ROUNDING)
    targets = torch.eye(len(kinds), dtype=torch.float64)[torch.from_numpy(codes)]
    ((weights, bias),) = logistic_path(standard(train.numpy()).double(), targets, [1 / len(train)])
    return kinds[(standard(test.numpy()).double() @ weights + bias).argmax(1).numpy()]
