"""Several processes as one training: joining what `torchrun` started, and telling all what the first one knows."""

from __future__ import annotations

import atexit
import os
from datetime import timedelta

import torch
import torch.distributed as dist

from nearfar.core.errors import ResourceError, UsageError
from nearfar.execution.ranks import Ranks, ranks

TIMEOUT = "NEARFAR_RANK_TIMEOUT"  # seconds that a process waits for the others before it gives them up
PATIENCE = 300.0


def join() -> Ranks | None:
    """The place of this process among those that `torchrun` started, or None for a single one; joins them where it has not yet.

    Raises ResourceError where the others do not come, UsageError for a timeout that is no number.
    """
    if dist.is_available() and not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        text = os.environ.get(TIMEOUT, str(PATIENCE))
        try:
            seconds = float(text)
        except ValueError:
            raise UsageError(f"{text!r} is no number of seconds", where=TIMEOUT, remedy="such as 60") from None
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        try:
            dist.init_process_group(backend, timeout=timedelta(seconds=seconds))
        except (RuntimeError, ValueError) as error:
            raise ResourceError(
                f"the processes do not find each other: {str(error).splitlines()[0][:200]}",
                remedy="start them by torchrun, with the same --rdzv-endpoint everywhere",
            ) from error
        atexit.register(_leave)
    return ranks()


def _leave() -> None:
    """Part from the others at the end, so that none waits for a process that is gone."""
    if dist.is_initialized():
        dist.destroy_process_group()


def is_lost(error: RuntimeError) -> bool:
    """Whether an exchange failed because a process is gone or does not answer."""
    words = ("gloo", "nccl", "connection", "timed out", "peer")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)


def told(text: str, together: Ranks | None) -> str:
    """What the first process says, on all of them."""
    if together is None:
        return text
    data = text.encode() if together.rank == 0 else b""
    size = together.highest(len(data))
    sent = torch.zeros(size, dtype=torch.uint8)
    sent[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else sent[:0]
    if dist.get_backend(together.group) == "nccl":
        sent = sent.cuda()
    dist.broadcast(sent, 0, group=together.group)
    return bytes(sent.cpu().tolist()).decode()
