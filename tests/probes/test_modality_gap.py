"""The gap between two clusters at a known distance, and the way to close it."""

import math

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.probes.modality_gap import gap_sweep, modality_gap, shift_gap


def parallel(n=200, d=8, half=0.6, noise=0.3):
    """The same points at +half and -half along the first axis, each of length one: pairs are as far apart as the means."""
    generator = torch.Generator().manual_seed(0)
    rest = torch.nn.functional.normalize(torch.randn(n, d - 1, generator=generator, dtype=torch.float64), dim=1)
    rest = rest * math.sqrt(1 - half**2)
    turned = torch.nn.functional.normalize(
        rest + noise * torch.randn(n, d - 1, generator=generator, dtype=torch.float64), dim=1
    ) * math.sqrt(1 - half**2)
    side = torch.full((n, 1), half, dtype=torch.float64)
    return torch.cat([side, rest], 1), torch.cat([-side, turned], 1)


def test_a_known_gap():
    x, y = parallel(noise=0)
    found = modality_gap(5 * x, y)
    assert found.figures() == pytest.approx({"gap": 1.2, "pair_cosine": 1 - 1.2**2 / 2, "separation": 1.0})
    assert found.figure() != pytest.approx(float((5 * x).mean(0).norm()), rel=0.5), "lengths do not count"
    same = modality_gap(x, x)
    assert same.figures() == pytest.approx({"gap": 0.0, "pair_cosine": 1.0, "separation": 0.5})


def test_separation_of_noise_is_half():
    x, y = torch.randn(2, 100, 200)
    found = modality_gap(x, y)
    assert abs(found.figure("separation") - 0.5) < 0.1
    # the direction that was fitted to the same pairs separates them, although there is nothing to find
    unit = [torch.nn.functional.normalize(t, dim=1) for t in (x, y)]
    along = unit[0].mean(0) - unit[1].mean(0)
    a, b = ((t @ along).numpy() for t in unit)
    assert np.mean(a[:, None] > b[None, :]) > 0.8


def test_columns_of_the_gap_are_its_first_order_parts():
    x, y = (torch.nn.functional.normalize(t + 0.3, dim=1) for t in torch.randn(2, 100, 5, dtype=torch.float64))
    y = -y

    def gap(keep):
        return float((x[keep].mean(0) - y[keep].mean(0)).norm())

    rows = torch.arange(100)
    parts = np.array([100 * gap(rows) - 99 * gap(rows[rows != i]) for i in range(100)])
    found = modality_gap(x, y).columns["gap"]
    assert found.mean() == pytest.approx(gap(rows))
    assert np.corrcoef(found, parts)[0, 1] > 0.999
    assert found.std() == pytest.approx(parts.std(), rel=0.02)
    assert np.corrcoef((x - y).norm(dim=1).numpy(), parts)[0, 1] < 0.99, "pairs' distances are others"


def test_shift():
    x, y = parallel()
    assert float((shift_gap(x, y, 0.0)[0] - x).abs().max()) < 1e-12
    for shift, want in ((1.0, 0.0), (-1.0, None)):
        a, b = shift_gap(x, y, shift)
        assert torch.allclose(a.norm(dim=1), torch.ones(200, dtype=torch.float64))
        gap = float((a.mean(0) - b.mean(0)).norm())
        assert gap == pytest.approx(want, abs=0.05) if want is not None else gap > 1.3
    with pytest.raises(DataError, match="zero"):
        shift_gap(torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[-1.0, 0.0]] * 2))


@pytest.mark.parametrize("tile_bytes", [1, 64 << 20])
def test_sweep(tile_bytes):
    x, y = parallel(60)
    found = gap_sweep(
        x, y, [-0.5, 0.5], temperature=0.1, tile_bytes=tile_bytes, measures={"first": lambda a, b: float(a[0] @ b[0])}
    )
    assert found.curves["shift"].tolist() == [-0.5, 0.0, 0.5, 1.0]
    for i, shift in enumerate(found.curves["shift"]):
        a, b = shift_gap(x, y, float(shift))
        loss = float(nf.contrast(nf.info_nce, a, b, nf.paired(), both_ways=True, temperature=0.1))
        assert found.curves["loss"][i] == pytest.approx(loss, rel=1e-6)
        one_way = float(nf.contrast(nf.info_nce, a, b, nf.paired(), temperature=0.1))
        assert one_way != pytest.approx(loss, rel=1e-6)
        best = (a @ b.T).argmax(1) == torch.arange(60)
        assert found.curves["found_first"][i] == pytest.approx(float(best.double().mean()))
        assert found.curves["first"][i] == pytest.approx(float(a[0] @ b[0]))
    assert found.figure("gap_closed") < 0.1 < 1.1 < found.figure("gap_as_trained")
    assert np.all(np.diff(found.curves["gap"]) < 0)


def test_equals_count_fairly():
    same = torch.ones(5, 3)
    found = gap_sweep(same, same, temperature=1.0)
    assert found.curves["found_first"] == pytest.approx(np.full(len(found.curves["shift"]), 0.2))
    assert found.figure("loss_as_trained") == pytest.approx(math.log(5))


def test_errors():
    x = torch.eye(4)
    with pytest.raises(UsageError, match="stand beside"):
        modality_gap(x, x[:3].repeat(2, 1))
    with pytest.raises(DataError, match="needs 4"):
        modality_gap(x[:3], x[:3])
    for shifts, temperature in (([], 1.0), ([0.0], 0.0), ([math.inf], 1.0)):
        with pytest.raises(UsageError, match="shifts"):
            gap_sweep(x, x, shifts, temperature=temperature)
