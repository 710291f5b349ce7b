"""Arguments that several verbs take, said once."""

from __future__ import annotations

import argparse


def add_data(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """--data, --columns, --on-bad."""
    parser.add_argument(
        "--data",
        required=required,
        metavar="FILE",
        help="pairs in a jsonl, csv, tsv or parquet file (.gz of the first three too)",
    )
    parser.add_argument(
        "--columns",
        metavar="A,B[,C...]",
        help="query side, document side, then explicit hard negatives; found if unambiguous",
    )
    parser.add_argument(
        "--on-bad",
        choices=("raise", "skip"),
        default="raise",
        help="stop at the first bad record, or leave bad ones out and list them",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON, for other programs")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """--quiet."""
    parser.add_argument("--quiet", action="store_true", help="no progress")
