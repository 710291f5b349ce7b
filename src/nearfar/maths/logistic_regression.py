"""Logistic regression by L-BFGS along a path of strengths, each fit beginning at the one before.

        loss(W, b) = mean_i l(x_i W + b, y_i) + s / 2 |W|^2

l is the cross-entropy of classes (`softmax_loss`), or the sum over labels of binary ones (`sigmoid_loss`). The bias is not penalised.

Features are turned to their principal axes, which leaves |W| as it is, and each axis is divided by the root of its curvature at the
start (its variance times the curvature of l, plus s). Correlated features then cost no more steps than independent ones.
A stack of problems [... n d] is solved as one: their sum has its minimum where each has its own.
Source of the method: Liu and Nocedal 1989; the quadratic bound that the scaling follows is Böhning's, 1992.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(outputs [... n c], targets [... n c]) -> loss of each record [... n], and its derivative by the outputs [... n c]."""


def softmax_loss(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of one class a record; targets are one-hot."""
    logs = F.log_softmax(outputs, -1)
    return -(logs * targets).sum(-1), logs.exp() - targets


def sigmoid_loss(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The sum over labels of binary cross-entropies; targets are 0 or 1."""
    losses = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return losses.sum(-1), outputs.sigmoid() - targets


@torch.no_grad()
def logistic_path(
    x: Float[Tensor, "... n d"],
    targets: Float[Tensor, "... n c"],
    strengths: Sequence[float],
    loss: Loss = softmax_loss,
    *,
    tolerance: float = 1e-4,
    iterations: int = 500,
) -> list[tuple[Tensor, Tensor]]:
    """Weights [... d c] and bias [... c] for each of the `strengths`, which go from strong to weak for speed.

    tolerance   of the largest derivative, after scaling

    >>> x, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.eye(2)[[0, 0, 1, 1]]
    >>> (weak_W, _), = logistic_path(x, y, [0.001])
    >>> (strong_W, b), = logistic_path(x, y, [10.0])
    >>> bool(weak_W[0, 1] > strong_W[0, 1] > 0), (x @ strong_W + b).argmax(1).tolist()
    (True, [0, 0, 1, 1])
    """
    n, classes = targets.shape[-2:]
    mean = x.mean(-2, keepdim=True)
    variance, axes = _principal_axes(x - mean)
    turned = (x - mean) @ axes
    curvature = variance / classes if loss is softmax_loss else variance / 4
    weights, bias = turned.new_zeros(*x.shape[:-2], axes.shape[-1], classes), targets.new_zeros(*x.shape[:-2], classes)
    path = []
    for strength in strengths:
        scale = (curvature + strength).rsqrt()[..., None]
        scaled, penalty = turned * scale.mT, strength * scale**2

        def evaluate(w: Tensor, b: Tensor, scaled: Tensor = scaled, penalty: Tensor = penalty) -> Tensor:
            losses, slope = loss(scaled @ w + b[..., None, :], targets)
            w.grad = scaled.mT @ slope / n + penalty * w
            b.grad = slope.mean(-2)
            # Of many problems the sum needs more digits than each of them.
            return losses.double().sum() / n + 0.5 * (penalty * w**2).double().sum()

        w, b = weights / scale, bias.clone()
        _minimise(evaluate, w, b, tolerance, iterations)
        weights, bias = w.detach() * scale, b.detach()
        whole = axes @ weights
        path.append((whole, bias - (mean @ whole)[..., 0, :]))
    return path


def _minimise(evaluate: Callable[[Tensor, Tensor], Tensor], w: Tensor, b: Tensor, tolerance: float, most: int) -> None:
    found = torch.optim.LBFGS(
        [w, b],
        max_iter=most,
        max_eval=2 * most,
        history_size=10,
        tolerance_grad=tolerance,
        tolerance_change=torch.finfo(w.dtype).eps,
        line_search_fn="strong_wolfe",
    )
    found.step(lambda: evaluate(w, b))


def _principal_axes(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Variances [... r] along orthonormal axes [... d r] that span the rows; r is the smaller of n and d."""
    n, d = centred.shape[-2:]
    if n >= d:
        variance, axes = torch.linalg.eigh(centred.mT @ centred / n)
        return variance.clamp_min(0), axes
    span, _ = torch.linalg.qr(centred.mT)
    variance, axes = _principal_axes(centred @ span)
    return variance, span @ axes
