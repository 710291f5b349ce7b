"""Averages of weights against their definition as weighted means, swapping, checkpoints; beside averages that start wrongly."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nearfar.core.errors import DataError, UsageError
from nearfar.training.averages import WeightAverage, average_checkpoints


class Tower(nn.Module):
    """With a parameter whose name is that of a method, a shared one, a frozen one, and a buffer."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        self.layer = nn.Linear(3, 2, dtype=dtype)
        self.again = self.layer
        self.frozen = nn.Parameter(torch.ones(2, dtype=dtype), requires_grad=False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))


def visited(tower, steps):
    """Weights of some steps, set one after the other."""
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        with torch.no_grad():
            for parameter in tower.parameters():
                if parameter.requires_grad:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        tower.seen += 1
        yield step


def averaged(decay, steps=7, dtype=torch.float64):
    tower, each = Tower(dtype), []
    average = WeightAverage(tower, decay)
    for _ in visited(tower, steps):
        average.update(tower)
        each.append(tower.layer.weight.detach().double().clone())
    return tower, average, torch.stack(each)


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999, 1.0])
def test_it_is_the_weighted_mean_of_all_weights_since_the_beginning(decay):
    tower, average, each = averaged(decay)
    share = torch.tensor([decay ** (len(each) - 1 - i) for i in range(len(each))], dtype=torch.float64)
    right = (share[:, None, None] * each).sum(0) / share.sum()
    with average.swapped_into(tower):
        torch.testing.assert_close(tower.layer.weight.detach(), right, rtol=1e-12, atol=1e-12)
    # The known-bad variants: the beginning has a share; Adam's correction is left out.
    if decay == 0.9:
        torch.manual_seed(0)
        from_start = Tower().layer.weight.detach().clone()
        for weight in each:
            from_start = decay * from_start + (1 - decay) * weight
        assert (from_start - right).abs().max() > 0.05
        assert ((1 - decay) * (share[:, None, None] * each).sum(0) - right).abs().max() > 0.05


def test_swapping_gives_everything_back_to_the_bit_also_after_an_error():
    tower, average, each = averaged(0.9)
    before = {k: v.clone() for k, v in tower.state_dict().items()}
    with pytest.raises(ZeroDivisionError), average.swapped_into(tower):
        assert not torch.equal(tower.layer.weight, before["layer.weight"])
        assert torch.equal(tower.frozen, before["frozen"])
        assert int(tower.seen) == len(each)
        _ = 1 / 0
    assert all(torch.equal(v, before[k]) for k, v in tower.state_dict().items())
    average.copy_to(tower)
    assert not torch.equal(tower.layer.weight, before["layer.weight"])
    assert tower.layer.weight.requires_grad


def test_a_checkpoint_holds_all_of_it():
    tower, average, _ = averaged(0.9, steps=4)
    restored = WeightAverage(Tower(), 0.9)
    restored.load_state_dict({k: v.clone() for k, v in average.state_dict().items()})
    other = WeightAverage(Tower(), 0.9)  # the known-bad variant: begun anew
    for _ in visited(tower, 2):
        for one in (average, restored, other):
            one.update(tower)
    for name, value in average.state_dict().items():
        assert torch.equal(value, restored.state_dict()[name])
    assert any(not torch.equal(v, other.state_dict()[k]) for k, v in average.state_dict().items())
    assert int(restored.updates) == 6
    assert not list(average.parameters()), "nothing of it learns"
    assert {k for k in average.state_dict() if "frozen" in k or "seen" in k} == set()


def test_small_steps_are_not_lost_in_bfloat16():
    tower = Tower(torch.bfloat16)
    average = WeightAverage(tower, 1.0)
    nn.init.constant_(tower.layer.weight, 1.0)
    for step in range(1000):
        if step == 500:
            nn.init.constant_(tower.layer.weight, 1.0 + 2**-7)
        average.update(tower)
    mean = dict(average.named_buffers())["of/layer/weight"]
    assert mean.dtype == torch.float32
    assert float(mean[0, 0]) == pytest.approx(1 + 2**-8, abs=1e-5)
    in_bfloat16 = torch.tensor(1.0, dtype=torch.bfloat16)  # the known-bad variant
    for step in range(500, 1000):
        in_bfloat16 += (torch.tensor(1.0 + 2**-7, dtype=torch.bfloat16) - in_bfloat16) / (step + 1)
    assert float(in_bfloat16) == 1.0


def test_before_the_first_update_and_wrong_decays():
    tower = Tower()
    before = tower.layer.weight.detach().clone()
    average = WeightAverage(tower, 0.9)
    nn.init.zeros_(tower.layer.weight)
    average.copy_to(tower)
    assert torch.equal(tower.layer.weight.detach(), before)
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="a decay of"):
            WeightAverage(tower, decay)


# The mean of checkpoints


def written(folder, number, **more):
    generator = torch.Generator().manual_seed(number)
    place = folder / str(number)
    place.mkdir()
    tensors = {
        "weights.a": torch.randn(3, generator=generator),
        "weights.b": torch.randn(2, 2, generator=generator).bfloat16(),
        "weights.steps": torch.tensor(number),
        "optimiser.0.mean": torch.ones(3),
        **more,
    }
    save_file(tensors, place / "state.safetensors")
    return place


def test_the_mean_of_checkpoints(tmp_path):
    places = [written(tmp_path, k) for k in (1, 2, 3)]
    made = average_checkpoints(places)
    assert set(made) == {"a", "b", "steps"}
    each = [torch.randn(3, generator=torch.Generator().manual_seed(k)) for k in (1, 2, 3)]
    torch.testing.assert_close(made["a"], torch.stack(each).double().mean(0).float(), rtol=0, atol=0)
    assert made["a"].dtype == torch.float32
    assert made["b"].dtype == torch.bfloat16
    assert int(made["steps"]) == 3
    assert not torch.equal(made["a"], average_checkpoints(places[:2])["a"])
    assert torch.equal(average_checkpoints(places[:1])["a"], each[0])


def test_checkpoints_that_cannot_be_averaged(tmp_path):
    first = written(tmp_path, 1)
    with pytest.raises(UsageError, match="no checkpoints"):
        average_checkpoints([])
    with pytest.raises(DataError, match="not those of the first"):
        average_checkpoints([first, written(tmp_path, 2, **{"weights.a": torch.zeros(4)})])
    with pytest.raises(DataError, match="not those of the first"):
        average_checkpoints([first, written(tmp_path, 3, **{"weights.more": torch.zeros(4)})])
    with pytest.raises(DataError, match="no weights"):
        average_checkpoints([tmp_path / "nowhere"])
    with pytest.raises(DataError, match="there are no weights"):
        average_checkpoints([first], prefix="average.")
    (first / "state.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match="no weights can be read"):
        average_checkpoints([first])
