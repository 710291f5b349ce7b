"""What ranks do in the tests of optimisers and clipping: the same in one process, and with weights sharded over several (FSDP2)."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from nearfar.training.clip import clip_gradients
from nearfar.training.optimisers import groups_of, optimiser


@dataclass(frozen=True)
class Settings:
    optimiser: str
    learning_rate: float = 0.1
    weight_decay: float = 0.02
    momentum: float = 0.9


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 3)  # 4 rows on the first of two ranks, 3 on the second
        self.mix = nn.Linear(3, 5)
        self.double()

    def forward(self, ids):
        return self.mix(self.embedding(ids))


def made():
    torch.manual_seed(5)
    tower = Tower()
    if dist.is_initialized():
        from torch.distributed.fsdp import fully_shard

        fully_shard(tower)
    return tower


def backward(tower, step):
    """Every rank sees the same records, so that the mean over ranks, which FSDP2 takes, is the gradient of one process."""
    tower(torch.tensor([step % 7, 3, (2 * step) % 7])).square().sum().backward()


def whole(tensor):
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach().clone()


def weights(tower):
    return {name: whole(p) for name, p in tower.named_parameters()}


def fresh():
    return weights(made())


def optimised(name):
    """Weights after six steps, and those of a run that was saved after the third and restored."""
    tower = made()
    first = optimiser(Settings(name), groups_of({"tower": tower}))
    saved = None
    for step in range(6):
        if step == 3:
            state = first.state_dict()["state"]
            kept = {i: {k: whole(v) for k, v in s.items()} for i, s in state.items()}
            saved = weights(tower), kept
        first.zero_grad(set_to_none=True)
        backward(tower, step)
        first.step()
    assert saved is not None
    again = made()
    with torch.no_grad():
        for parameter, weight in zip(again.parameters(), saved[0].values(), strict=True):
            parameter.copy_(_like(parameter, weight))
    second = optimiser(Settings(name), groups_of({"tower": again}))
    parameters = [p for group in second.param_groups for p in group["params"]]
    # As a checkpoint of the training does: what has the shape of its parameter is cut like it, the rest is given whole.
    state = {
        i: {k: _like(parameters[i], v) if v.shape == parameters[i].shape else v for k, v in s.items()}
        for i, s in saved[1].items()
    }
    second.load_state_dict({"state": state, "param_groups": second.state_dict()["param_groups"]})
    for step in range(3, 6):
        second.zero_grad(set_to_none=True)
        backward(again, step)
        second.step()
    return weights(tower), weights(again)


def clipped(most):
    """Norms, the gradients after clipping, and the norm of this rank's shard before it."""
    tower = made()
    backward(tower, 1)
    own = [p.grad.to_local() if hasattr(p.grad, "to_local") else p.grad for p in tower.parameters()]
    shard = float(torch.cat([g.flatten() for g in own]).norm())
    norms = clip_gradients({"table": tower.embedding.parameters(), "mix": tower.mix.parameters()}, most)
    return norms, {name: whole(p.grad) for name, p in tower.named_parameters()}, shard


def _like(parameter, value):
    if not hasattr(parameter, "device_mesh"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, parameter.device_mesh, parameter.placements)
