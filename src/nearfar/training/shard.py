"""Weights, gradients and optimiser spread over ranks (FSDP2); batch and loss stay what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nearfar.core.errors import UsageError
from nearfar.execution.ranks import Ranks
from nearfar.training.checkpoint import whole


def sharded(towers: Mapping[str, Any], ranks: Ranks | None) -> None:
    """Shard every tower over the ranks, in place; call it before the optimiser is made.

    Raises UsageError for a single process, which has nobody to share with.
    """
    if ranks is None:
        raise UsageError(
            "one process has nobody to share its weights with",
            where="fit.shard",
            remedy="start several: torchrun --nproc-per-node 2 -m nearfar train ...",
        )
    from torch.distributed.fsdp import fully_shard

    for tower in towers.values():
        fully_shard(tower)


def unsharded(towers: Mapping[str, Any]) -> dict[str, Any]:
    """The same encoders with whole weights on every rank; all ranks call it."""
    made = {}
    for name, tower in towers.items():
        weights = {key: whole(value).detach().clone() for key, value in tower.state_dict().items()}
        # fully_shard puts a class of its own in front of the encoder's.
        own = next(kind for kind in type(tower).__mro__ if "from_config" in vars(kind))
        plain = own.from_config(tower.config())
        plain.load_state_dict(weights)
        made[name] = plain.eval()
    return made
