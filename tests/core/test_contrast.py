"""`nf.contrast` and `nf.rows` as a user calls them: what they accept, and what they say when it is wrong."""

import functools

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError


def test_strings_are_columns_and_belong_together_across_tables():
    x, y = torch.eye(3), torch.eye(3)[[2, 0, 1]]
    loss = nf.contrast(
        nf.info_nce,
        nf.rows(x, record=["a", "b", "c"]),
        nf.rows(y, record=["c", "a", "b"]),
        nf.paired(),
        temperature=0.01,
    )
    crossed = nf.contrast(
        nf.info_nce,
        nf.rows(x, record=["a", "b", "c"]),
        nf.rows(y, record=["a", "b", "c"]),
        nf.paired(),
        temperature=0.01,
    )
    assert loss < 1e-6 < 1 < crossed


def test_rows_from_arrays():
    table = nf.rows(np.eye(3, dtype=np.float32), label=np.array([1, 2, 3]), place=[[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    assert table.columns["record"].tolist() == [0, 1, 2]
    assert table.columns["place"].shape == (3, 2)
    assert len(table.take(torch.tensor([2, 0]))) == 2


@pytest.mark.parametrize("tile", [None, 3])
def test_a_learned_temperature_and_bias_get_their_gradient(tile):
    x, y = torch.randn(8, 4, dtype=torch.float64), torch.randn(8, 4, dtype=torch.float64)
    log_t, bias = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (-2.0, -3.0))

    def loss(t, b):
        return nf.contrast(nf.sigmoid, x, y, nf.paired(), temperature=t.exp(), bias=b, tile=tile)

    gradients = torch.autograd.grad(loss(log_t, bias), [log_t, bias])
    with torch.no_grad():
        for i, gradient in enumerate(gradients):
            step = [torch.zeros(()), torch.zeros(())]
            step[i] = torch.tensor(1e-6)
            numeric = (loss(log_t + step[0], bias + step[1]) - loss(log_t - step[0], bias - step[1])) / 2e-6
            assert gradient.item() == pytest.approx(numeric.item(), abs=1e-6)
            assert abs(gradient.item()) > 1e-2


def test_a_temperature_for_every_query():
    x, y = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    t = torch.linspace(0.1, 1.0, 6, dtype=torch.float64)
    whole = nf.contrast(nf.info_nce, x, y, nf.paired(), temperature=t)
    alone = [
        nf.contrast(nf.info_nce, nf.rows(x[i : i + 1], record=[i]), y, nf.paired(), temperature=float(t[i]))
        for i in range(6)
    ]
    assert whole.item() == pytest.approx(float(torch.stack(alone).mean()), abs=1e-12)
    assert whole.item() != pytest.approx(nf.contrast(nf.info_nce, x, y, nf.paired(), temperature=0.5).item(), abs=1e-3)
    assert nf.contrast(nf.info_nce, x, y, nf.paired(), temperature=t, tile=2).item() == pytest.approx(
        whole.item(), abs=1e-12
    )


def test_a_rule_with_options_by_partial():
    def margin(scores, block, *, gap):
        return (gap + scores.masked_fill(~block.neg, -torch.inf).amax(1) - (scores * block.pos).sum(1)).clamp_min(0)

    x = torch.eye(4)
    assert nf.contrast(functools.partial(margin, gap=1.5), x, x, nf.paired()).item() == pytest.approx(0.5)
    assert nf.contrast(functools.partial(margin, gap=0.5), x, x, nf.paired()).item() == 0


def test_the_same_loss_twice_adds_its_gradients():
    x = torch.randn(6, 3, requires_grad=True)
    y = torch.randn(6, 3)
    once = torch.autograd.grad(nf.contrast(nf.info_nce, x, y, nf.paired(), tile=2), x)[0]
    loss = nf.contrast(nf.info_nce, x, y, nf.paired(), tile=2)
    (2 * loss + loss).backward()
    assert torch.allclose(x.grad, 3 * once, atol=1e-6)


def largest_tensor(run):
    """Entries of the largest tensor that is made meanwhile."""
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            made = func(*args, **(kwargs or {}))
            for t in made if isinstance(made, (tuple, list)) else [made]:
                largest = max(largest, t.numel()) if isinstance(t, torch.Tensor) else largest
            return made

    with Watch():
        run()
    return largest


def test_memory_grows_with_rows_and_not_with_their_square():
    """The largest tensor of a tiled contrast is a tile of rows, that of the specialised sweep a block; never the score matrix."""
    n, tile = 2_000, 100
    x = nf.rows(torch.randn(n, 4, requires_grad=True), label=torch.arange(n) // 2)

    def both_ways(relation, tile):
        nf.contrast(nf.info_nce, x, x.detach(), relation, both_ways=True, tile=tile).backward()

    assert largest_tensor(lambda: both_ways(nf.paired(), tile)) == tile * tile
    assert largest_tensor(lambda: both_ways(nf.labelled(), tile)) == tile * n
    assert largest_tensor(lambda: both_ways(nf.paired(), None)) == n * n


WRONG = {
    "needs a relation": lambda x: nf.contrast(nf.info_nce, x, x),
    "temperature must be positive": lambda x: nf.contrast(nf.info_nce, x, x, nf.paired(), temperature=0.0),
    "4 dimensions and keys 3": lambda x: nf.contrast(nf.info_nce, x, torch.randn(5, 3), nf.paired()),
    r"not \[5\]": lambda x: nf.rows(torch.randn(5)),
    "floating-point": lambda x: nf.rows(torch.arange(6).reshape(3, 2)),
    "column 'label' has 2 entries for 5": lambda x: nf.rows(x, label=[1, 2]),
    "one loss per row": lambda x: nf.contrast(lambda s, b: s.sum(), x, x, nf.paired()),
    "one entry per query and key": lambda x: nf.contrast(
        nf.info_nce, x, x, lambda q, k: nf.Block(torch.ones(2, 2), torch.ones(2, 2))
    ),
    "a tile of 0 rows": lambda x: nf.contrast(nf.info_nce, x, x, nf.paired(), tile=0),
    "different columns": lambda x: nf.cat([nf.rows(x), nf.rows(x, label=[0] * 5)]),
}


@pytest.mark.parametrize("said", WRONG)
def test_errors_say_what_is_wrong_and_what_to_do(said):
    with pytest.raises(UsageError, match=said) as caught:
        WRONG[said](torch.randn(5, 4))
    assert caught.value.remedy


def test_a_column_of_mixed_things_is_refused():
    with pytest.raises(DataError, match="mixes"):
        nf.rows(torch.eye(2), label=[1, "a"])


def test_what_follows_from_something_learned_is_made_anew_each_step():
    x, y = (torch.randn(6, 4, dtype=torch.float64) for _ in range(2))
    log_t = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    shift = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    built_once = nf.Scored(nf.sigmoid, nf.paired(), temperature=lambda: log_t.exp(), bias=lambda: -shift.exp())
    for tile in (None, 2, "auto"):
        for _ in range(2):
            loss = nf.contrast(built_once, x, y, tile=tile)
            fresh = nf.contrast(nf.sigmoid, x, y, nf.paired(), temperature=log_t.exp(), bias=-shift.exp(), tile=None)
            got, want = (torch.autograd.grad(v, [log_t, shift]) for v in (loss, fresh))
            assert torch.allclose(loss, fresh, atol=1e-12)
            assert all(torch.allclose(g, w, atol=1e-12) for g, w in zip(got, want, strict=True))
            with torch.no_grad():
                log_t -= 0.3
    first = nf.contrast(built_once, x, y)
    with torch.no_grad():
        log_t -= 0.3
    assert not torch.allclose(first, nf.contrast(built_once, x, y), atol=1e-6), "a stale temperature would go unnoticed"
    fixed = nf.Scored(nf.sigmoid, nf.paired(), temperature=log_t.exp())
    nf.contrast(fixed, x, y, tile=None).backward()
    with pytest.raises(RuntimeError, match="a second time"):
        nf.contrast(fixed, x, y, tile=None).backward()
