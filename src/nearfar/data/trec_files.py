"""Runs and qrels in the text formats of TREC, which pyserini, ir_datasets, ranx and trec_eval read and write.

        run    query  Q0  document  rank  score  tag        one retrieved document a line; only its score orders it
        qrels  query  0   document  gain                    one judgement a line; gains of 0 and less: judged, not relevant

Fields are separated by spaces or tabs. Qrels as BEIR keeps them (tab-separated query-id, corpus-id, score, with a header) are read too.
In memory both are {query: {document: number}}, the form of pytrec_eval and ranx; `evaluate_run` measures a run by qrels.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.core.files import write_text
from nearfar.data.lines import decoded, lines
from nearfar.data.record import place

CARD = Card(
    name="trec_files",
    summary="runs and qrels of TREC: files of retrieved and of judged documents",
    related=("evaluate_run", "retrieval"),
    public=("read_run", "write_run", "read_qrels", "write_qrels"),
)

BEIR_HEADER = ["query-id", "corpus-id", "score"]


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """The scores of a run: {query: {document: score}}, in the order of the file. Gzipped if the name ends in .gz.

    >>> write_run("my.run", {"q1": {"d7": 0.5, "d2": -0.25}})
    >>> read_run("my.run")
    {'q1': {'d7': 0.5, 'd2': -0.25}}

    Raises DataError, with file and line, for a line of other fields, a score that is no number, and a document that a query
    retrieves twice; and what is said of files in `nearfar.data.lines`.
    """
    run: dict[str, dict[str, float]] = {}
    for fields, where in _fields(path):
        if len(fields) != 6:
            raise DataError(
                f"the line has {len(fields)} fields, not 6",
                where=where,
                remedy="write: query Q0 document rank score tag, with no space inside a name",
            )
        query, document = fields[0], sys.intern(fields[2])
        _add(run, query, document, _number(fields[4], "score", where), "retrieved", where)
    return _some(run, path)


def read_qrels(path: str | Path) -> dict[str, dict[str, float]]:
    """The judgements: {query: {document: gain}}, in the order of the file; whole numbers in most collections.

    >>> write_qrels("my.qrels", {"q1": {"d7": 2, "d9": 0}})
    >>> read_qrels("my.qrels")
    {'q1': {'d7': 2.0, 'd9': 0.0}}

    Raises DataError, with file and line, for a line of other fields, a gain that is no number, and a document that is judged twice
    for a query; and what is said of files in `nearfar.data.lines`.
    """
    qrels: dict[str, dict[str, float]] = {}
    beir = False
    for number, (fields, where) in enumerate(_fields(path)):
        if number == 0 and [field.lower() for field in fields] == BEIR_HEADER:
            beir = True
            continue
        if len(fields) != (3 if beir else 4):
            raise DataError(
                f"the line has {len(fields)} fields, not {3 if beir else 4}",
                where=where,
                remedy="write: query 0 document gain" if not beir else "write what the header says",
            )
        document, gain = sys.intern(fields[-2]), _number(fields[-1], "gain", where)
        _add(qrels, fields[0], document, gain, "judged", where)
    return _some(qrels, path)


def write_run(path: str | Path, run: Mapping[str, Mapping[str, float]], tag: str = "nearfar") -> None:
    """Write {query: {document: score}}, the best document of each query first, ties in the order given.

    Raises DataError for names that are empty or hold white space, and for scores that are no finite numbers.
    """
    _check_name(tag, "tag")
    made = []
    for query, scores in run.items():
        _check_name(query, "query")
        for document, score in scores.items():
            _check_name(document, "document")
            _check_finite(score, f"the score of document {document} for query {query}")
        ordered = sorted(scores.items(), key=lambda item: -item[1])
        made += [f"{query} Q0 {d} {rank} {float(s)!r} {tag}\n" for rank, (d, s) in enumerate(ordered, 1)]
    write_text(Path(path), "".join(made))


def write_qrels(path: str | Path, qrels: Mapping[str, Mapping[str, float]]) -> None:
    """Write {query: {document: gain}}; whole gains without a decimal point, as trec_eval wants them.

    Raises DataError for names that are empty or hold white space, and for gains that are no finite numbers.
    """
    made = []
    for query, gains in qrels.items():
        _check_name(query, "query")
        for document, gain in gains.items():
            _check_name(document, "document")
            _check_finite(gain, f"the gain of document {document} for query {query}")
            made.append(f"{query} 0 {document} {int(gain) if gain == int(gain) else float(gain)!r}\n")
    write_text(Path(path), "".join(made))


def _fields(path: str | Path) -> Iterator[tuple[list[str], str]]:
    for line in lines(path):
        if fields := decoded(line, path).split():
            yield fields, place(str(path), line.number)


def _number(field: str, what: str, where: str) -> float:
    try:
        number = float(field)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise DataError(f"the {what} {field!r} is no number", where=where, remedy="write a decimal number")
    return number


def _add(table: dict[str, dict[str, float]], query: str, document: str, number: float, done: str, where: str) -> None:
    row = table.setdefault(query, {})
    if document in row:
        raise DataError(
            f"document {document} is {done} twice for query {query}", where=where, remedy="keep one of the lines"
        )
    row[document] = number


def _some(table: dict[str, dict[str, float]], path: str | Path) -> dict[str, dict[str, float]]:
    if not table:
        raise DataError("there is no record", where=str(path), remedy="give a file that holds records")
    return table


def _check_name(name: str, what: str) -> None:
    if not isinstance(name, str) or name.split() != [name]:
        raise DataError(
            f"the {what} {name!r} cannot stand in a file whose fields are separated by spaces",
            where=what,
            remedy="name it by a string without white space",
        )


def _check_finite(number: float, what: str) -> None:
    if not math.isfinite(number):
        raise DataError(f"{what} is {number}", where="run or qrels", remedy="give finite numbers")
