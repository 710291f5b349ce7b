"""Averages of the weights over the steps of a training: often better than the last ones, and less noisy.

        mean_t = mean_(t-1) + a_t (w_t - mean_(t-1)),      a_t = (1 - decay) / (1 - decay^t)        moving
                                                           a_t = 1 / t                              decay = 1: the uniform mean

a_t makes the moving average the exact mean of w_1 ... w_t with weights decay^(t - i), as Adam corrects its moments: the weights at
the beginning have no share of their own. Without it, an average with decay 0.999 after 300 steps is still three quarters the
random start. The uniform mean over the last part of a training is stochastic weight averaging (Izmailov et al. 2018, arXiv
1803.05407); the mean of several runs' checkpoints from one start is a model soup (Wortsman et al. 2022, arXiv 2203.05482).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nearfar.core.directories import latest
from nearfar.core.errors import DataError, UsageError

PREFIX = "of/"  # a parameter's name could be that of a method of the module


class WeightAverage(nn.Module):
    """The average of a module's trainable parameters, in buffers: a checkpoint of this module holds all of it.

    It belongs beside the module, not within. Averages are kept in at least float32, whatever the weights are in: a thousandth of
    a step would vanish in bfloat16. Buffers (running statistics, queues, counters) are not averaged.

    decay  the share that the average keeps each step, below 1; 1 makes the uniform mean of all updates

    >>> module = nn.Linear(1, 1, bias=False)
    >>> average = WeightAverage(module, decay=1.0)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = nn.init.constant_(module.weight, value)
    ...     average.update(module)
    >>> with average.swapped_into(module):
    ...     round(module.weight.item(), 5)
    3.0
    >>> module.weight.item()
    6.0
    """

    updates: Tensor

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay <= 1:
            raise UsageError(
                f"a decay of {decay}", where="fit.ema_decay", remedy="give 0.99 to 0.9999, or 1 for the uniform mean"
            )
        self.decay = float(decay)
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                kept = parameter.detach().to(torch.promote_types(parameter.dtype, torch.float32), copy=True)
                self.register_buffer(_key(name), kept)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take the module's weights into the average: once a step, after the optimiser."""
        self.updates += 1
        count = int(self.updates)
        share = 1 / count if self.decay == 1 else (1 - self.decay) / (1 - self.decay**count)
        for parameter, mean in self._pairs(module):
            mean.add_(parameter.to(mean.dtype) - mean, alpha=share)

    @torch.no_grad()
    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights for good. Before the first update they are the weights of the beginning."""
        for parameter, mean in self._pairs(module):
            parameter.copy_(mean)

    @contextmanager
    def swapped_into(self, module: nn.Module) -> Iterator[nn.Module]:
        """The module with the averaged weights inside of the block, and with its own, to the bit, after it - also after an error."""
        own = [(parameter, parameter.detach().clone()) for parameter, _ in self._pairs(module)]
        try:
            self.copy_to(module)
            yield module
        finally:
            with torch.no_grad():
                for parameter, weights in own:
                    parameter.copy_(weights)

    def _pairs(self, module: nn.Module) -> list[tuple[nn.Parameter, Tensor]]:
        """Parameters that were trainable at the beginning, and their averages."""
        means = dict(self.named_buffers())
        return [(p, means[_key(name)]) for name, p in module.named_parameters() if _key(name) in means]


def _key(name: str) -> str:
    return PREFIX + name.replace(".", "/")  # torch allows no dot in a buffer's name


def average_checkpoints(
    directories: Sequence[str | Path], *, file: str = "state.safetensors", prefix: str = "weights."
) -> dict[str, Tensor]:
    """The mean of the weights of several checkpoints, by name, for `module.load_state_dict`; one is in memory at a time.

    `file` is the file of a checkpoint's directory that holds the weights, `prefix` what their names begin with and is left out. Whole
    numbers (counters, ids) are those of the last directory.
    Raises UsageError for no directory, DataError where one cannot be read or holds other weights than the first.
    """
    if not directories:
        raise UsageError("no checkpoints to average", remedy="give one directory or more")
    sums: dict[str, Tensor] = {}
    types: dict[str, torch.dtype] = {}
    for directory in directories:
        place = latest(directory) / file
        try:
            tensors = {k.removeprefix(prefix): v for k, v in load_file(place).items() if k.startswith(prefix)}
        except (SafetensorError, OSError) as error:
            raise DataError(
                f"no weights can be read: {error}", where=str(place), remedy="give directories of checkpoints"
            ) from error
        if not tensors or (types and {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in sums.items()}):
            raise DataError(
                "these weights are not those of the first checkpoint" if tensors else "there are no weights",
                where=str(place),
                remedy="average checkpoints of one model alone",
            )
        types = {name: tensor.dtype for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                sums[name] = sums[name].add_(tensor) if name in sums else tensor.double()
            else:
                sums[name] = tensor
    return {n: (s / len(directories)).to(types[n]) if types[n].is_floating_point else s for n, s in sums.items()}
