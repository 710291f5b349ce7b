"""`nearfar env`: versions, cores, memory, devices and places - what a bug report needs, and why something may be slow."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nearfar
from nearfar.cli.terminal import bold, print_json
from nearfar.core.machine import CGROUP, PROC, cpu_quota, memory_limit
from nearfar.core.parts import PACKAGE, announced, built_in

BASE = ("torch", "numpy", "safetensors", "rich", "bm25s", "matplotlib", "jaxtyping", "pygments", "tensorboardX")
EXTRAS = {
    "parquet": ("pyarrow",),
    "text": ("transformers", "tokenizers", "peft"),
    "vision": ("transformers", "pillow"),
    "audio": ("transformers", "soundfile"),
    "hub": ("datasets",),
    "lightning": ("pytorch-lightning",),
}
GIB = 1024**3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nearfar env`."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the facts."""
    facts = collect()
    if args.json:
        print_json({"version": 1, **facts})
        return 0
    for section, rows in facts.items():
        print(bold(section))
        column = max((len(key) for key in rows), default=0) + 4
        for key, value in rows.items():
            print(f"  {key}".ljust(column + 2) + _shown(value))
        print()
    return 0


def collect() -> dict[str, dict[str, Any]]:
    """Everything that is shown, by section; memory in bytes."""
    packages = {name: installed(name) for name in BASE}
    for extra, names in EXTRAS.items():
        packages |= {name: installed(name) or f"not installed (pip install 'nearfar[{extra}]')" for name in names}
    kinds: dict[str, int] = {}
    for part in built_in():
        kinds[part.kind] = kinds.get(part.kind, 0) + 1
    others, problems = announced()
    parts: dict[str, Any] = kinds | {f"from {part.source}": part.name for part in others}
    parts |= {f"problem {number}": problem for number, problem in enumerate(problems, 1)}
    return {
        "nearfar": {
            "version": nearfar.__version__,
            "folder": str(PACKAGE),
            "python": f"{platform.python_version()} ({sys.executable})",
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        "packages": {name: value or "MISSING" for name, value in packages.items()},
        "processor": processor(),
        "memory": memory(),
        "devices": devices(),
        "places": places(),
        "parts": parts,
    }


def installed(name: str) -> str | None:
    """The installed version of a distribution, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor() -> dict[str, Any]:
    """Cores of the machine, and what of them this process may use."""
    facts: dict[str, Any] = {"cores": os.cpu_count()}
    if hasattr(os, "sched_getaffinity"):
        facts["usable by this process"] = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    if quota is not None:
        facts["limit of the container"] = round(quota, 2)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        if name in os.environ:
            facts[name] = os.environ[name]
    return facts


def memory(proc: Path = PROC, cgroup: Path = CGROUP) -> dict[str, int]:
    """Total and available memory in bytes, and the limit of the container if it has one."""
    facts = {}
    for line in _read(proc / "meminfo").splitlines():
        words = line.split()
        if words and words[0] in ("MemTotal:", "MemAvailable:"):
            facts["total" if words[0] == "MemTotal:" else "available"] = int(words[1]) * 1024
    if not facts and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["total"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = memory_limit(proc, cgroup)
    if limit is not None and limit < facts.get("total", 1 << 60):
        facts["limit of the container"] = limit
    return facts


def devices() -> dict[str, Any]:
    """What torch can compute on; a torch that cannot be imported is said, not raised: that is when env is needed most."""
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken install raises anything
        return {"torch": f"cannot be imported: {type(error).__name__}: {error}"}
    facts: dict[str, Any] = {"cpu": f"{torch.get_num_threads()} threads"}
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        facts[f"cuda:{number}"] = f"{properties.name}, {properties.total_memory / GIB:.0f} GiB"
    if torch.backends.mps.is_available():
        facts["mps"] = "available"
    return facts


def places() -> dict[str, Any]:
    """Where files go, and how much room there is."""
    free = shutil.disk_usage(Path.cwd()).free
    return {
        "working folder": str(Path.cwd()),
        "free there": free,
        "writable": os.access(Path.cwd(), os.W_OK),
        "temporary files": tempfile.gettempdir(),
        "NEARFAR_DATA": os.environ.get("NEARFAR_DATA", "not set"),
    }


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and value > 1 << 20:
        return f"{value / GIB:.1f} GiB"
    return str(value)
