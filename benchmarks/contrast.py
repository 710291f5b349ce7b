"""Time and memory of one loss with its gradient: two-way InfoNCE, plain torch beside ours, plain and tiled.

    python benchmarks/contrast.py                    # all sizes, every peer in a process of its own, in turn
    python benchmarks/contrast.py --sizes 1024       # some

Medians over runs; memory is the peak above what the inputs and an idle torch take. Records go to benchmarks/records/, and the
table is rendered from the record. Compare within one record only: machines differ, and so do their hours.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).parent / "records"
PEERS = ("torch", "nearfar plain", "nearfar tiled")
DIMENSION, TEMPERATURE, RUNS = 256, 0.05, 5


def measure(peer: str, size: int) -> dict[str, Any]:
    """Median seconds and extra peak memory of one peer; called in a fresh process."""
    import torch

    import nearfar as nf

    draws = torch.Generator().manual_seed(0)
    x, y = (torch.randn(size, DIMENSION, generator=draws).requires_grad_() for _ in range(2))

    def plain_torch() -> torch.Tensor:
        unit = torch.nn.functional.normalize
        scores = unit(x) @ unit(y).T / TEMPERATURE
        target = torch.arange(size)
        entropy = torch.nn.functional.cross_entropy
        return (entropy(scores, target) + entropy(scores.T, target)) / 2

    def ours(tile: Any) -> torch.Tensor:
        return nf.contrast(nf.info_nce, x, y, nf.paired(), both_ways=True, temperature=TEMPERATURE, tile=tile)

    calls = {"torch": plain_torch, "nearfar plain": lambda: ours(None), "nearfar tiled": lambda: ours("auto")}
    nf.contrast(
        nf.info_nce, x[:8], y[:8], nf.paired(), tile=4
    ).backward()  # imports and first-call costs are no part of it
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, loss = [], 0.0
    for _ in range(RUNS + 1):
        x.grad = y.grad = None
        started = time.perf_counter()
        value = calls[peer]()
        value.backward()
        seconds.append(time.perf_counter() - started)
        loss = float(value.detach())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "peer": peer,
        "size": size,
        "seconds": statistics.median(seconds[1:]),
        "extra_mb": (peak - idle) / 1024,
        "loss": loss,
    }


def main() -> None:
    """Measure every peer at every size, store the record, print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096, 8192])
    parser.add_argument("--one", nargs=2, metavar=("PEER", "SIZE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one[0], int(args.one[1]))))
        return
    from nearfar.training.run import software

    rows = []
    for size in args.sizes:
        for peer in PEERS:
            words = [sys.executable, __file__, "--one", peer, str(size)]
            rows.append(json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
    losses = {size: [r["loss"] for r in rows if r["size"] == size] for size in args.sizes}
    assert all(max(v) - min(v) < 1e-3 for v in losses.values()), f"the peers do not compute the same loss: {losses}"
    record = {"dimension": DIMENSION, "dtype": "float32", "runs": RUNS, "rows": rows, "software": software()}
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / "contrast.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    print(table(record))


def table(record: dict[str, Any]) -> str:
    """The record as text, times also as ratios to plain torch."""
    lines = [f"{'pairs':>7}  {'peer':<14} {'seconds':>8} {'ratio':>6} {'extra MB':>9}"]
    for row in record["rows"]:
        base = next(r["seconds"] for r in record["rows"] if r["peer"] == "torch" and r["size"] == row["size"])
        lines.append(
            f"{row['size']:>7}  {row['peer']:<14} {row['seconds']:>8.3f} {row['seconds'] / base:>6.2f} {row['extra_mb']:>9.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
