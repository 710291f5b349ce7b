"""Logistic regression: the minimum that scikit-learn finds, one by one and in stacks, for few records and for correlated features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from nearfar.maths.logistic_regression import logistic_path, sigmoid_loss, softmax_loss

SOLVER = "newton-cholesky"  # another method than ours, and exact


def problem(seed: int = 0, n: int = 90, d: int = 6, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated features that lie off the origin, and classes that overlap."""
    random = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    x = torch.randn(n, d, generator=random, dtype=torch.float64) + torch.randn(classes, d, generator=random)[y]
    return x @ torch.randn(d, d, generator=random).double() + 3, y


def reference(x: torch.Tensor, y: torch.Tensor, strength: float) -> np.ndarray:
    """Scikit-learn's weights [d c]; its C is 1 / (n s)."""
    model = LogisticRegression(C=1 / (len(x) * strength), tol=1e-10, solver=SOLVER).fit(x.numpy(), y.numpy())
    return model.coef_.T


@pytest.mark.parametrize("shape", [(90, 6), (12, 30)], ids=["many records", "few records"])
def test_every_strength_has_the_minimum_of_scikit_learn(shape: tuple[int, int]):
    x, y = problem(n=shape[0], d=shape[1])
    strengths = [1.0, 0.1, 0.01]
    path = logistic_path(x, torch.eye(3, dtype=torch.float64)[y], strengths, tolerance=1e-9)
    for strength, (weights, bias) in zip(strengths, path, strict=True):
        expected = reference(x, y, strength)
        assert weights.numpy() == pytest.approx(expected, abs=1e-4)
        assert weights.numpy() != pytest.approx(reference(x, y, 2 * strength), abs=1e-4)
        # The bias is not penalised: the classes' shares come out.
        assert (x @ weights + bias).softmax(1).mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_a_loose_tolerance_in_float32_predicts_the_same():
    x, y = problem(1, n=300)
    ((weights, bias),) = logistic_path(x.float(), torch.eye(3)[y], [0.01])
    expected = LogisticRegression(C=1 / 3, tol=1e-8, solver=SOLVER).fit(x.numpy(), y.numpy()).predict_proba(x.numpy())
    assert (x.float() @ weights + bias).softmax(1).numpy() == pytest.approx(expected, abs=5e-3)
    assert np.full((300, 3), 1 / 3) != pytest.approx(expected, abs=5e-3)


def test_a_stack_is_solved_as_its_problems_are():
    problems = [problem(seed, n=10, d=20) for seed in range(3)]
    stack = torch.stack([x for x, _ in problems])
    hot = torch.eye(3, dtype=torch.float64)[torch.stack([y for _, y in problems])]
    ((weights, bias),) = logistic_path(stack, hot, [0.1], tolerance=1e-9)
    for i in range(3):
        ((alone, own),) = logistic_path(stack[i], hot[i], [0.1], tolerance=1e-9)
        assert weights[i].numpy() == pytest.approx(alone.numpy(), abs=1e-6)
        assert bias[i].numpy() == pytest.approx(own.numpy(), abs=1e-4)
        assert weights[i - 1].numpy() != pytest.approx(alone.numpy(), abs=1e-2)


def test_sigmoid_loss_is_one_binary_problem_a_label():
    x, y = problem(2)
    labels = torch.stack([y == 0, y != 1], 1).double()
    ((weights, bias),) = logistic_path(x, labels, [0.05], sigmoid_loss, tolerance=1e-9)
    for label in range(2):
        model = LogisticRegression(C=1 / (len(x) * 0.05), tol=1e-10, solver=SOLVER)
        model.fit(x.numpy(), labels[:, label].numpy())
        assert weights[:, label].numpy() == pytest.approx(model.coef_[0], abs=1e-4)
        assert bias[label].item() == pytest.approx(model.intercept_[0], abs=1e-3)
        assert weights[:, 1 - label].numpy() != pytest.approx(model.coef_[0], abs=1e-2)


@pytest.mark.parametrize("loss", [softmax_loss, sigmoid_loss])
def test_derivatives_are_those_of_the_loss(loss):
    outputs = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.eye(4, dtype=torch.float64)[torch.tensor([0, 1, 2, 3, 0])]
    value, slope = loss(outputs, targets)
    (expected,) = torch.autograd.grad(value.sum(), outputs)
    assert torch.allclose(slope, expected)
    other = sigmoid_loss if loss is softmax_loss else softmax_loss
    assert not torch.allclose(other(outputs, targets)[1], expected)


def test_records_without_any_spread_give_their_shares():
    ((weights, bias),) = logistic_path(
        torch.ones(4, 3), torch.eye(2)[torch.tensor([0, 0, 0, 1])], [0.01], tolerance=1e-6
    )
    assert weights.abs().max() == 0
    assert bias.softmax(0).tolist() == pytest.approx([0.75, 0.25], abs=1e-3)
