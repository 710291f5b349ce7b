"""`pairs`: whatever a user has - a file, tuples, dicts, arrays, a DataFrame - as one `PairTable`.

What training could not survive or would not notice is said here: too few records, all equal, duplicates, hard negatives
that are the answer itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from nearfar.core.errors import DataError
from nearfar.data.bad_records import BadRecords
from nearfar.data.cells import Kind
from nearfar.data.columns import PairColumns, first_values, found_columns, given_columns
from nearfar.data.in_hand import in_hand_rows
from nearfar.data.numbers import column_of
from nearfar.data.pair_table import PairTable
from nearfar.data.readers import raw_rows
from nearfar.data.record import Record, checked
from nearfar.data.records import Note

Texts = list[str]
PEEKED = 100  # records looked at to find the columns: in jsonl a column may be missing from the first ones
SIDES = ("queries", "documents")
MOSTLY = 0.5  # below this share of distinct texts a side is worth a note


def pairs(
    source: Any,
    columns: str | Sequence[str] | None = None,
    *,
    numbers: Sequence[str] = (),
    on_bad: Literal["raise", "skip"] = "raise",
    bad_records: str | Path | None = None,
    bad_share: float = 0.01,
) -> PairTable:
    """Pairs (query, document), with or without explicit hard negatives.

    source       a path (jsonl, csv, tsv, parquet), an iterable of 2- or 3-tuples or of dicts, a dict of lists or
                 arrays, a DataFrame, an Arrow table; the third of a tuple is a hard negative or a list of them
    columns      "question,answer" or a sequence of names: query side, document side, then any number of columns of hard
                 negatives, whose cells hold a text, a list of texts or nothing. None: found in the first 100 records
                 if there is no doubt
    numbers      further columns that are kept as arrays [n]: numbers, or texts as their ids (labels, groups, a score). In csv
                 and tsv all are texts
    on_bad       "raise" at the first bad record (empty text, wrong type, broken line), or "skip" and write them to the
                 file `bad_records`; above `bad_share` of all records that is an error too

    Errors: DataError with place and remedy for every input that cannot be used, among them fewer than two different
    pairs.

    >>> table = pairs([("how to sort", "sorted(x)"), ("how to read", "open(x).read()", ["sorted(x)"])])
    >>> len(table), table.negatives
    (2, [[], ['sorted(x)']])
    """
    if isinstance(source, PairTable):
        return source
    bad = BadRecords(on_bad, bad_records, bad_share)
    chosen = None if columns is None else given_columns(columns)
    if isinstance(source, (str, os.PathLike)):
        name = str(source)
        rows = raw_rows(Path(source), None if chosen is None else {*chosen.kinds(), *numbers})
    else:
        name = f"a {type(source).__name__} in hand"
        needed = None if chosen is None else (chosen.query, chosen.document, *chosen.negatives, *numbers)
        rows = in_hand_rows(source, None if needed is None else list(dict.fromkeys(needed)))
    if chosen is None:
        head = list(islice(rows, PEEKED))
        records = [row.values for row in head if isinstance(row, Record)]
        rows = chain(head, rows)
        # Without a single good record the error of the first one says more than one about columns.
        chosen = found_columns(first_values(records), name) if records else PairColumns("query", "document")
    further: dict[str, Kind] = dict.fromkeys(numbers, "value")
    return _table(checked(rows, further | chosen.kinds(), bad, name), chosen, numbers, name, bad)


def _table(
    records: Iterator[Record], columns: PairColumns, numbers: Sequence[str], source: str, bad: BadRecords
) -> PairTable:
    queries, documents, negatives, kept = [], [], [], []
    for record in records:
        queries.append(record.values[columns.query])
        documents.append(record.values[columns.document])
        negatives.append([text for name in columns.negatives for text in record.values[name]])
        if numbers:
            kept.append(record)
    negatives, wrong = _without_answers(queries, documents, negatives)
    names = (columns.query, columns.document, *columns.negatives)
    further = {name: column_of(name, kept, None) for name in numbers}
    table = PairTable(queries, documents, negatives, names, source, further=further)
    _refuse_hopeless(table)
    return replace(table, notes=tuple(_notes(table, wrong, bad)))


def _without_answers(queries: Texts, documents: Texts, negatives: list[Texts]) -> tuple[list[Texts], int]:
    """Hard negatives without those that some pair gives as the document of the same query, and how many these were."""
    answers: dict[str, set[str]] = {}
    for query, given in zip(queries, negatives, strict=True):
        if given:
            answers.setdefault(query, set())
    for query, document in zip(queries, documents, strict=True):
        if query in answers:
            answers[query].add(document)
    kept = [[t for t in given if t not in answers[q]] for q, given in zip(queries, negatives, strict=True)]
    return kept, sum(map(len, negatives)) - sum(map(len, kept))


def _refuse_hopeless(table: PairTable) -> None:
    if len(table) == 1:
        raise DataError(
            "there is one pair only, and a contrast needs at least two",
            where=table.source,
            remedy="give more pairs; hundreds are a start",
        )
    if len(set(zip(table.queries, table.documents, strict=True))) == 1:
        raise DataError(
            f"all {len(table):,} pairs are equal, so there is nothing to tell apart",
            where=table.source,
            remedy="check how the pairs were made",
        )
    for side, texts in enumerate((table.queries, table.documents)):
        if len(set(texts)) == 1 and not table.has_negatives:
            raise DataError(
                f"all {len(table):,} {SIDES[side]} are the same text, so no pair has a negative",
                where=f"{table.source}, column {table.columns[side]!r}",
                remedy="check that the right column was named, or give explicit hard negatives",
            )


def _notes(table: PairTable, wrong_negatives: int, bad: BadRecords) -> Iterator[Note]:
    n = len(table)
    if bad.count:
        where = f", listed in {bad.path}" if bad.path is not None else ""
        yield Note(f"{bad.count:,} bad records were left out{where}; the first: {bad.reasons[0]}", "repair them")
    doubles = n - len(set(zip(table.queries, table.documents, strict=True)))
    if doubles:
        yield Note(f"{doubles:,} of {n:,} pairs repeat another one word for word", "remove those not intended")
    for side, texts in zip(SIDES, (table.queries, table.documents), strict=True):
        distinct = len(set(texts))
        if distinct < MOSTLY * n:
            yield Note(
                f"only {distinct:,} different {side} in {n:,} pairs: equal ones are no negatives of each other, "
                "so batches hold fewer negatives than they seem to",
                "use `labelled` if these are classes",
            )
    same = sum(q == d for q, d in zip(table.queries, table.documents, strict=True))
    if same:
        yield Note(f"in {same:,} of {n:,} pairs the query is the document, which teaches nothing", "remove them")
    if wrong_negatives:
        yield Note(f"{wrong_negatives:,} hard negatives are a right answer to their own query and were dropped")
