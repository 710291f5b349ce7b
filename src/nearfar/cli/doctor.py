"""`nearfar doctor`: what is wrong with a run, why, and what to type."""

from __future__ import annotations

import argparse

from nearfar.cli.arguments import add_json
from nearfar.cli.terminal import bold, print_json

EXAMPLES = """examples:
  nearfar doctor runs/pairs-1
  nearfar doctor runs/pairs-1 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run."""
    parser.epilog = EXAMPLES
    parser.add_argument("run", help="the directory of a run, finished or not")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read the run's record, print what the doctor finds in it."""
    from nearfar.core.errors import DataError
    from nearfar.probes.doctor import Doctor
    from nearfar.training.run import Run

    record = Run.open(args.run)
    doctor = Doctor(record.config)
    for entry in record.logged():
        doctor.add(entry)
    steps = doctor.steps()
    if not steps:
        raise DataError(
            "the run has written nothing down yet",
            where=str(record.metrics),
            remedy="wait for its first steps, or give another run",
        )
    findings, unmeasured = doctor.findings(ended=True), doctor.unmeasured()
    if args.json:
        print_json(
            {"run": args.run, "steps": steps, "findings": [f.as_json() for f in findings], "unmeasured": unmeasured}
        )
        return 0
    print(f"{args.run}: " + ", ".join(f"{last:,} steps of {stage or 'training'}" for stage, last in steps.items()))
    for finding in findings:
        print(f"\n{bold(f'{finding.severity}: {finding.name}')}\n{finding.text()}")
    if not findings:
        print("nothing is wrong, as far as it was measured")
    if unmeasured:
        print(f"\nnot measured: {', '.join(unmeasured)}")
    return 0
