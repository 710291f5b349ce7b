"""Optimisers: AdamW and SGD of torch, LARS, and two for large tables of vectors that move only the rows a step has used.

    adamw            decoupled decay (Loshchilov and Hutter 2017, arXiv 1711.05101)
    sgd              with momentum; decay is added to the gradient, as MoCo and SimSiam train
    lars             sgd whose rate is, layer by layer, proportional to |w| / |g|: large batches of images
    rowwise_adagrad  tables by Adagrad with one number a row, all else by adamw: a hundredth of Adam's memory
    lazy_adam        tables by Adam on the steps that used the row, all else by adamw

`groups_of` sorts parameters into groups: biases, norms and everything else of less than two dimensions (a temperature) neither
decay nor adapt. All state is tensors by parameter, so a checkpoint of `state_dict()` holds it exactly.

What tables gain depends on the share of rows that a step uses. Of 60,000 rows of 512 numbers, 1,024 texts of 100 units use a third:
then dense gradients and torch's fused AdamW are as quick as rowwise_adagrad, which saves its memory alone, and sparse gradients
(`sparse=True`) take twice as long. 64 such texts use a twentieth, and sparse gradients make a step four times as quick as AdamW's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nearfar.core.errors import UsageError
from nearfar.training.clip import lengths

BETAS = (0.9, 0.99)  # the second lower than Adam's 0.999: training here often has only some hundred steps
ADAM_EPSILON, ADAGRAD_EPSILON = 1e-8, 1e-10
TRUST = 0.001  # LARS's coefficient, as You et al. 2017, SimCLR and BYOL have it
CHUNK = 1 << 19  # numbers of a table in work at once: they stay in the cache, and no large temporaries are made
FUSED_ON = ("cpu", "cuda", "mps", "xpu")

NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
)


@runtime_checkable
class Settings(Protocol):
    """What of a stage says how it is optimised; `nearfar.core.stage.Fit` has all of it."""

    @property
    def optimiser(self) -> str: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def momentum(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Group:
    """Parameters that are treated alike.

    name    of the part they belong to, for messages and for norms of gradients
    decays  whether they decay, and whether LARS adapts their rate
    table   whether they are a table [rows d] of which a step uses some rows
    rate    times the learning rate: below 1 for a pretrained tower under a fresh head, or for its lower layers
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    decays: bool = True
    table: bool = False
    rate: float = 1.0


def groups_of(parts: Mapping[str, nn.Module], rates: Mapping[str, float] | None = None) -> list[Group]:
    """The parameters that learn, by part: those that decay, those that do not, and tables. Each once, in the first part that has it.

    A table is the weight of an `nn.Embedding` or `nn.EmbeddingBag`, or a parameter that its module names: `tables = ("weight",)`.
    `rates` gives some parts a rate of their own, times the learning rate.
    Raises UsageError when nothing learns.

    >>> module = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    >>> [(g.decays, g.table, len(g.parameters)) for g in groups_of({"tower": module})]
    [(True, False, 1), (False, False, 3), (True, True, 1)]
    """
    seen: set[nn.Parameter] = set()
    groups: list[Group] = []
    for name, part in parts.items():
        kinds: dict[tuple[bool, bool], list[nn.Parameter]] = {(True, False): [], (False, False): [], (True, True): []}
        for parameter, table, decays in _sorted_out(part):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                kinds[decays, table].append(parameter)
        rate = (rates or {}).get(name, 1.0)
        groups += [Group(name, tuple(found), *kind, rate) for kind, found in kinds.items() if found]
    if not groups:
        raise UsageError("nothing learns: every parameter is frozen", remedy="leave an encoder, a head or a term free")
    return groups


def _sorted_out(part: nn.Module) -> Iterator[tuple[nn.Parameter, bool, bool]]:
    """Every parameter, whether it is a table, and whether it decays."""
    for module in part.modules():
        tables = ("weight",) if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) else getattr(module, "tables", ())
        for name, parameter in module.named_parameters(recurse=False):
            table = name in tables and parameter.ndim == 2
            flat = parameter.ndim < 2 or name.startswith("bias") or isinstance(module, NORMS)
            yield parameter, table, table or not flat


def optimiser(
    stage: Settings, groups: Sequence[Group], *, betas: tuple[float, float] = BETAS, fused: bool = True
) -> torch.optim.Optimizer:
    """The optimiser that a stage names, over groups of parameters; its own groups are these, in their order.

    The rate of a group is `learning_rate` times the group's `rate`, decay 0 where the group does not decay. `momentum` is that of
    sgd and lars, `betas` those of Adam. `fused` takes torch's fused kernels where there are some.
    Raises UsageError for an unknown name, settings out of range, or an optimiser for tables where there is no table.

    >>> from nearfar.core.stage import Fit
    >>> made = optimiser(Fit(weight_decay=0.1), groups_of({"head": nn.Linear(2, 2)}))
    >>> [group["weight_decay"] for group in made.param_groups]
    [0.1, 0.0]
    """
    _check(stage, betas)
    name = stage.optimiser
    if name not in OPTIMISERS:
        raise UsageError(f"no optimiser {name!r}", where="fit.optimiser", remedy=f"there are {', '.join(OPTIMISERS)}")
    made = [_torch_group(stage, group) for group in groups]
    of_tables = OPTIMISERS[name]
    if of_tables is None:
        fast = fused and _can_fuse(p for g in groups for p in g.parameters)
        if name == "adamw":
            return torch.optim.AdamW(made, betas=betas, eps=ADAM_EPSILON, fused=fast)
        if name == "sgd":
            whole = not any(hasattr(p, "device_mesh") for g in groups for p in g.parameters)
            # torch has no fused kernel of it for sharded weights
            return torch.optim.SGD(made, lr=stage.learning_rate, momentum=stage.momentum, fused=fast and whole)
        return Lars(made, momentum=stage.momentum)
    if not any(group.table for group in groups):
        raise UsageError(
            f"{name} is for tables of vectors, and no part has one",
            where="fit.optimiser",
            remedy="take adamw, or name a module's tables: tables = ('weight',)",
        )
    parts: list[torch.optim.Optimizer] = []
    # A part for each group, so that the groups stay in their order.
    for group, one in zip(groups, made, strict=True):
        if group.table:
            parts.append(of_tables([one], betas))
        else:
            fast = fused and _can_fuse(group.parameters)
            parts.append(torch.optim.AdamW([one], betas=betas, eps=ADAM_EPSILON, fused=fast))
    return Together(parts) if len(parts) > 1 else parts[0]


def _torch_group(stage: Settings, group: Group) -> dict[str, Any]:
    return {
        "params": list(group.parameters),
        "lr": stage.learning_rate * group.rate,
        "weight_decay": stage.weight_decay if group.decays else 0.0,
        "adapts": group.decays,
        "name": group.name,
    }


def _check(stage: Settings, betas: tuple[float, float]) -> None:
    ranges = {
        "learning_rate": 0 < stage.learning_rate < float("inf"),
        "weight_decay": 0 <= stage.weight_decay < float("inf"),
        "momentum": 0 <= stage.momentum < 1,
        "betas": all(0 <= beta < 1 for beta in betas),
    }
    for name, fine in ranges.items():
        if not fine:
            value = betas if name == "betas" else getattr(stage, name)
            raise UsageError(
                f"{name} is {value}",
                where=f"fit.{name}",
                remedy="momentum and betas lie from 0 to below 1, the rate above 0, the decay at 0 or above",
            )


def _can_fuse(parameters: Iterable[nn.Parameter]) -> bool:
    return all(p.device.type in FUSED_ON and p.is_floating_point() for p in parameters)


class Exact(torch.optim.Optimizer):
    """An optimiser whose state comes back as it was saved; torch would cast it to the type of the parameter."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        super().load_state_dict(state_dict)
        numbers = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        for number, parameter in zip(numbers, parameters, strict=True):
            for name, value in state_dict["state"].get(number, {}).items():
                if isinstance(value, Tensor):
                    value = _like(parameter, value.to(parameter.device, copy=True))
                self.state[parameter][name] = value


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """State of rows, cut as the parameter is (FSDP2), if it comes whole."""
    mesh: Any = getattr(parameter, "device_mesh", None)
    if mesh is None or hasattr(value, "device_mesh") or value.shape[:1] != parameter.shape[:1]:
        return value
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = parameter
    return distribute_tensor(value, mesh, sharded.placements)


class Lars(Exact):
    """Layer-wise adaptive rates: SGD with momentum, each layer's step in proportion to its weights.

        g = gradient + decay * w,   ratio = trust * |w| / |g|  (1 where either norm is zero, and for groups without `adapts`)
        v = momentum * v + rate * ratio * g,   w = w - v

    Source: You et al. 2017 (arXiv 1708.03888), algorithm 1, as SimCLR (2002.05709) and BYOL (2006.07733) use it: trust 0.001,
    biases and norms neither adapt nor decay. Two points differ between the paper and its users. The paper divides by
    |gradient| + decay * |w|; SimCLR and BYOL by the norm of the sum, which is taken here, since their settings belong to it. And
    the rate stands within the momentum, as in the paper and SimCLR, so that a falling rate acts on new gradients alone.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, momentum: float = 0.9, trust: float = TRUST) -> None:
        super().__init__(groups, {"momentum": momentum, "trust": trust, "weight_decay": 0.0, "adapts": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; `closure` is not used."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            gradients = [_dense(weight.grad) for weight in weights]
            if group["weight_decay"]:
                gradients = [g.add(w, alpha=group["weight_decay"]) for g, w in zip(gradients, weights, strict=True)]
            ratios = [1.0] * len(weights)
            if group["adapts"]:
                sizes = zip(lengths(weights), lengths(gradients), strict=True)
                ratios = [group["trust"] * of_w / of_g if of_w > 0 and of_g > 0 else 1.0 for of_w, of_g in sizes]
            for weight, gradient, ratio in zip(weights, gradients, ratios, strict=True):
                state = self.state[weight]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(weight)
                state["velocity"].mul_(group["momentum"]).add_(gradient, alpha=group["lr"] * ratio)
                weight.sub_(state["velocity"])


def _dense(gradient: Tensor) -> Tensor:
    if gradient.is_sparse:
        raise UsageError(
            "lars needs dense gradients, and a table has a sparse one",
            where="fit.optimiser",
            remedy="take rowwise_adagrad",
        )
    return gradient


class Rowwise(Exact):
    """What the optimisers for tables share: the rows that a step has used, of dense and of sparse gradients alike.

    A row is used when its gradient is not zero; all others, and their state, stay what they are to the bit. A row that occurs
    several times in a sparse gradient has the sum of its gradients.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], defaults: dict[str, Any]) -> None:
        super().__init__(groups, {"weight_decay": 0.0, **defaults})
        for group in self.param_groups:
            for table in group["params"]:
                if table.ndim != 2:
                    raise UsageError(f"a table has shape [rows d], not {list(table.shape)}", remedy="give it to adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; `closure` is not used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state.update({n: _like(parameter, t) for n, t in self.fresh(parameter).items()})
                pieces = {name: shard(tensor) for name, tensor in state.items()}
                self.move(shard(parameter), shard(parameter.grad), pieces, group)

    def fresh(self, table: Tensor) -> dict[str, Tensor]:
        """The state of a whole table at the beginning: tensors [rows ...]."""
        raise NotImplementedError

    def move(self, table: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        """Move the used rows of a table [rows d], and their state, by the table's gradient, dense or sparse."""
        raise NotImplementedError


def shard(tensor: Tensor) -> Tensor:
    """The rows of a table that this process has: all, or under FSDP2 its share of whole rows."""
    if not hasattr(tensor, "to_local"):
        return tensor
    sharded: Any = tensor
    if any(placement.is_shard() and not placement.is_shard(0) for placement in sharded.placements):
        raise UsageError("a table is sharded by columns", remedy="shard it by rows, as fully_shard does")
    return sharded.to_local()


def used_rows(gradient: Tensor) -> tuple[Tensor, Tensor | None]:
    """Rows [k] with a gradient; of a sparse one also their gradients [k d], which are rows of a dense one already."""
    if not gradient.is_sparse:
        return _lengths(gradient).nonzero()[:, 0], None
    gradient = gradient.coalesce()
    rows, values = gradient.indices()[0], gradient.values()
    used = _lengths(values) > 0
    return (rows, values) if bool(used.all()) else (rows[used], values[used])


def _lengths(gradient: Tensor) -> Tensor:
    """[rows]. By far the quickest way to find rows that are not zero: one pass, no temporaries."""
    return torch.linalg.vector_norm(gradient, dim=1, dtype=_precise(gradient))


def _precise(tensor: Tensor) -> torch.dtype:
    """State is in at least float32, whatever the weights are in."""
    return torch.promote_types(tensor.dtype, torch.float32)


class RowwiseAdagrad(Rowwise):
    """Adagrad with one number a row, for tables of which a step uses some rows.

        s_r = s_r + mean_d(g_rd^2),   w_r = (1 - rate * decay) w_r - rate * g_r / (sqrt(s_r) + epsilon)       r used

    A row's rate falls with its own use: rare rows go on moving when frequent ones have settled. The first step of a row has
    the root mean square `rate`, as Adam's, so the same rates are a good start. Source: PyTorch-BigGraph (Lerer et al. 2019,
    arXiv 1903.12287), epsilon included; decay, which it has not, is decoupled and of used rows alone.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, epsilon: float = ADAGRAD_EPSILON) -> None:
        super().__init__(groups, {"epsilon": epsilon})

    def fresh(self, table: Tensor) -> dict[str, Tensor]:
        """The sum of each row."""
        return {"sum": torch.zeros(len(table), dtype=_precise(table), device=table.device)}

    def move(self, table: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        """See the class."""
        kept = 1 - group["lr"] * group["weight_decay"]
        if not gradient.is_sparse:
            # Rows without a gradient are multiplied by one and moved by zero: cheaper than picking the others out.
            lengths = _lengths(gradient)
            total = state["sum"].add_(lengths.square() / table.shape[1])
            scale = (group["lr"] / (total.sqrt() + group["epsilon"])).masked_fill_(lengths == 0, 0.0)
            if kept != 1:
                table.mul_(torch.ones_like(lengths).masked_fill_(lengths > 0, kept).to(table.dtype)[:, None])
            table.addcmul_(gradient, scale.to(table.dtype)[:, None], value=-1)
            return
        rows, values = used_rows(gradient)
        assert values is not None
        total = state["sum"].index_add_(0, rows, _lengths(values).square() / table.shape[1])[rows]
        scale = group["lr"] / (total.sqrt() + group["epsilon"])
        for chosen, slopes, factors in _chunks(table, rows, values, scale[:, None]):
            _decay(table, chosen, kept)
            table.index_add_(0, chosen, (slopes * factors).to(table.dtype), alpha=-1)


class LazyAdam(Rowwise):
    """Adam for tables: a row's moments and its count of steps move in the steps that use it, and in no other.

        c_r = c_r + 1,   m_r = b1 m_r + (1 - b1) g_r,   v_r = b2 v_r + (1 - b2) g_r^2
        w_r = (1 - rate * decay) w_r - rate * m_r / (1 - b1^c_r) / (sqrt(v_r / (1 - b2^c_r)) + epsilon)       r used

    So each row sees plain Adam over its own gradients. torch's SparseAdam corrects by the count of all steps instead, which makes
    the first step of a row that comes late up to (1 - b1) / sqrt(1 - b2) times the rate: 3 times for betas of 0.9 and 0.999.
    Adam, unlike this, goes on moving rows by their momentum when they are not used. Memory is Adam's (arXiv 1412.6980).
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float] = BETAS, epsilon: float = ADAM_EPSILON
    ) -> None:
        super().__init__(groups, {"betas": betas, "epsilon": epsilon})

    def fresh(self, table: Tensor) -> dict[str, Tensor]:
        """Both moments, and the steps of each row."""
        count = torch.zeros(len(table), dtype=torch.int32, device=table.device)
        moments = {name: torch.zeros_like(table, dtype=_precise(table)) for name in ("mean", "square")}
        return {"count": count, **moments}

    def move(self, table: Tensor, gradient: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        """See the class."""
        precise = _precise(table)
        (first, second), kept = group["betas"], 1 - group["lr"] * group["weight_decay"]
        rows, slopes = used_rows(gradient)
        state["count"][rows] += 1
        counts = state["count"][rows].double()
        rate = (group["lr"] / (1 - first**counts)).to(precise)[:, None]
        correction = (1 - second**counts).rsqrt().to(precise)[:, None]
        for chosen, values, step, wider in _chunks(table, rows, slopes, rate, correction):
            g = (gradient.index_select(0, chosen) if values is None else values).to(precise)
            mean = state["mean"].index_select(0, chosen).lerp_(g, 1 - first)
            square = state["square"].index_select(0, chosen).mul_(second).addcmul_(g, g, value=1 - second)
            state["mean"].index_copy_(0, chosen, mean)
            state["square"].index_copy_(0, chosen, square)
            moved = mean.mul_(step).div_(square.sqrt_().mul_(wider).add_(group["epsilon"]))
            _decay(table, chosen, kept)
            table.index_add_(0, chosen, moved.to(table.dtype), alpha=-1)


def _decay(table: Tensor, rows: Tensor, kept: float) -> None:
    if kept != 1:
        table.index_copy_(0, rows, table.index_select(0, rows).mul_(kept))


def _chunks(table: Tensor, *columns: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """Pieces of columns [k ...], as long as the cache likes; None stays None."""
    size = max(1, CHUNK // table.shape[1])
    length = next(len(c) for c in columns if c is not None)
    for first in range(0, length, size):
        yield tuple(None if c is None else c[first : first + size] for c in columns)


class Together(Exact):
    """Several optimisers as one: their groups in order, one state, one checkpoint."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = tuple(parts)
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of each; `closure` is not used."""
        for part in self.parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Groups and state are the very objects of the parts: a rate that is set here is theirs."""
        first = 0
        for part in self.parts:
            last = first + len(part.param_groups)
            part.param_groups = self.param_groups[first:last]
            part.state = self.state
            first = last


OPTIMISERS: dict[str, Callable[[list[dict[str, Any]], tuple[float, float]], torch.optim.Optimizer] | None] = {
    "adamw": None,
    "sgd": None,
    "lars": None,
    "rowwise_adagrad": lambda groups, betas: RowwiseAdagrad(groups),
    "lazy_adam": lambda groups, betas: LazyAdam(groups, betas=betas),
}
"""By name, what moves tables; None: the same as everything else."""
