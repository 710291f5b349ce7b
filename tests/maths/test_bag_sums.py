"""`bag_sums` beside torch's `embedding_bag`: the same sums, the same gradient, whether the table has one already or not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nearfar.maths.bag_sums import bag_sums


def bags(dtype: torch.dtype, kind: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(0)
    table = torch.randn(9, 4, generator=draws).to(dtype).requires_grad_()
    ids = torch.tensor([3, 3, 0, 7, 7, 7, 1, 8], dtype=kind)
    amounts = torch.rand(8, generator=draws).to(dtype)
    return table, ids, amounts, torch.tensor([0, 0, 3, 3, 7, 8], dtype=kind)  # two are empty


def reference(table: Tensor, ids: Tensor, amounts: Tensor, offsets: Tensor) -> Tensor:
    return functional.embedding_bag(
        ids, table, offsets, mode="sum", per_sample_weights=amounts, include_last_offset=True
    )


def gradient(function, given, upstream: Tensor) -> Tensor:
    table = given[0]
    table.grad = None
    function(*given).backward(upstream)
    assert table.grad is not None
    return table.grad.clone()


@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_are_those_of_torch(dtype: torch.dtype, kind: torch.dtype) -> None:
    given = bags(dtype, kind)
    upstream = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    torch.testing.assert_close(bag_sums(*given), reference(*given))
    expected = gradient(reference, given, upstream)
    torch.testing.assert_close(gradient(bag_sums, given, upstream), expected)
    unweighted = (*given[:2], torch.ones_like(given[2]), given[3])
    assert not torch.allclose(gradient(bag_sums, unweighted, upstream), expected)  # known bad


def test_a_gradient_that_is_there_is_added_to_and_stays_dense() -> None:
    given = bags(torch.float64, torch.int64)
    upstream = torch.ones(5, 4, dtype=torch.float64)
    once = gradient(bag_sums, given, upstream)
    table = given[0]
    table.grad = torch.ones_like(table)
    memory = table.grad.data_ptr()
    for _ in range(2):
        bag_sums(*given).backward(upstream)
    assert not table.grad.is_sparse
    assert table.grad.data_ptr() == memory
    torch.testing.assert_close(table.grad, 1 + 2 * once)


def test_numeric_gradient() -> None:
    table, *rest = bags(torch.float64, torch.int64)
    assert torch.autograd.gradcheck(lambda t: bag_sums(t, *rest), (table,))
    assert torch.autograd.gradgradcheck(lambda t: bag_sums(t, *rest), (table,))


def test_no_units_at_all() -> None:
    table = torch.ones(3, 2, requires_grad=True)
    nothing, offsets = torch.zeros(0, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    made = bag_sums(table, nothing, torch.zeros(0), offsets)
    assert made.tolist() == [[0, 0], [0, 0]]
    made.sum().backward()
    assert table.grad is not None
    assert not table.grad.any()
    assert bag_sums(table, nothing, torch.zeros(0), offsets[:1]).shape == (0, 2)


def test_a_frozen_table_and_a_table_without_gradient() -> None:
    table, *rest = bags(torch.float32, torch.int64)
    assert not bag_sums(table.detach(), *rest).requires_grad
    with torch.no_grad():
        assert not bag_sums(table, *rest).requires_grad
