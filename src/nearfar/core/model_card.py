"""The page that lies beside every saved model, README.md: what it is, what it learned from, what it is worth, under which licence.

It is made from what the model itself says, so that it cannot say anything else, and the same model gives the same bytes. What was
never said or measured is named as such. Its head (YAML) is what model hubs read. Values come from users' files: each stands as code
on one line, where no markup of its own works; of paths the last part alone is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

MODEL_CARD = "README.md"
MOST_FIGURES, MOST_CHARACTERS = 40, 120
TASKS = {"text": "sentence-similarity", "image": "image-feature-extraction"}  # as hubs name them
NOUNS = {"text": "texts", "image": "images", "sequence": "sequences of items", "graph": "graphs", "table": "tables"}
LENGTH = {"cosine": ", of unit length", "late_interaction": ""}
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")


def model_card(
    description: Mapping[str, Any],
    dimension: int,
    reads: Sequence[str],
    *,
    use: str = "",
    library: str = "nearfar",
    further: str = "",
) -> str:
    """The page, Markdown with a head of YAML.

    description  what `Model.description` gives; nothing in `about` is expected to be there, or to be of a certain kind
    reads        what the records are, by the card of the encoder: "text", "image", ...
    use          how the model is used, Markdown; the lines for nearfar unless given
    library      that reads the folder
    further      one more section, Markdown

    >>> page = model_card({"sides": {"query": 0}, "similarity": "cosine", "about": {"licence": "MIT"}}, 8, ("text",))
    >>> page.splitlines()[:4]
    ['---', 'license: mit', 'library_name: nearfar', 'pipeline_tag: sentence-similarity']
    """
    about = _mapping(description.get("about"))
    kind = next((r for r in reads if r in NOUNS), "")
    sections = [
        _head(about, kind, library),
        f"# An encoder of {NOUNS.get(kind, 'records')}",
        f"It turns {NOUNS.get(kind, 'records')} into vectors of {dimension} numbers; what belongs together is near.",
        "## Use",
        use or _use(description, dimension, kind),
        "## What it is",
        _list(_facts(description, dimension)),
        "## What it learned from",
        _list(_origin(about)),
        "## What it is worth",
        _worth(about),
        *([further] if further else []),
        "## Licence",
        _licence(about),
    ]
    return "\n\n".join(sections) + "\n"


def _head(about: Mapping[str, Any], kind: str, library: str) -> str:
    """Only words that are letters, digits and signs without a meaning in YAML."""
    said = str(about.get("licence") or "").strip()
    licence = "unknown" if not said else said.lower() if _IDENTIFIER.fullmatch(said.lower()) else "other"
    task = TASKS.get(kind)
    tags = ["contrastive-learning", "embeddings", *(["sentence-similarity"] if kind == "text" else [])]
    lines = [f"license: {licence}", f"library_name: {library}", *([f"pipeline_tag: {task}"] if task else []), "tags:"]
    return "\n".join(["---", *lines, *(f"- {tag}" for tag in tags), "---"])


def _use(description: Mapping[str, Any], dimension: int, kind: str) -> str:
    records = {"text": '["a text", "another"]', "image": '["photo.jpg"]'}.get(kind, "records")
    side = next(iter(_mapping(description.get("sides"))), "")
    given = f', side="{side}"' if re.fullmatch(r"\w+", str(side), re.ASCII) else ""
    method, shape = "encode", f"float32 [n {dimension}]"
    if description.get("similarity") == "late_interaction":
        method, shape = "encode_tokens", f"a float32 [t {dimension}] a record"
    length = LENGTH.get(str(description.get("similarity")), "")
    return "\n".join(
        [
            "```python",
            "import nearfar as nf",
            "",
            'model = nf.load("PATH/TO/THIS/FOLDER")',
            f"vectors = model.{method}({records}{given})  # {shape}{length}",
            "```",
        ]
    )


def _facts(description: Mapping[str, Any], dimension: int) -> Iterator[tuple[str, str]]:
    encoders = [_mapping(e).get("part") for e in description.get("encoders") or ()]
    yield "encoder", ", ".join(map(_code, encoders)) or "unknown"
    yield "dimension", str(dimension)
    sides = _mapping(description.get("sides"))
    shared = " (they share one encoder)" if len(sides) > 1 and len({str(v) for v in sides.values()}) == 1 else ""
    yield "sides", ", ".join(map(_code, sides)) + shared
    yield "similarity", _code(description.get("similarity"))
    if shape := description.get("transform"):
        yield "transformation of the vectors", f"{' to '.join(map(_code, shape))} numbers, after the encoder"


def _origin(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    recipe, data = _mapping(about.get("recipe")), _mapping(about.get("data"))
    if source := about.get("source"):
        yield "read from", f"a folder of {_code(source)}"
    if recipe:
        yield "recipe", f"{_code(recipe.get('name'))}, seed {_code(recipe.get('seed'))}"
    for name, folder in _started_from(recipe):
        yield f"{name} started from", _code(folder)
    objective = _mapping(recipe.get("objective"))
    if objective.get("rule"):
        rule, relation, temperature = (_code(objective.get(name)) for name in ("rule", "relation", "temperature"))
        yield "objective", f"{rule}, relation {relation}, temperature {temperature}"
    if data:
        for name, one in _mapping(data.get("sources")).items() or [("", data)]:
            one = _mapping(one)
            place = PurePath(str(one.get("source") or one.get("data") or name)).name
            yield (
                f"data {_code(name)}" if name else "data",
                f"{_code(place)}: {_code(one.get('records'))} records, fingerprint {_code(one.get('fingerprint'))}",
            )
    if "steps" in about:
        stopped = ", stopped before its end" if about.get("interrupted") else ""
        yield "training", f"{_code(about['steps'])} steps, {_code(about.get('seconds'))} s{stopped}"
    if not (recipe or data or about.get("source")):
        yield "origin", "unknown: the model does not say how it was made"


def _started_from(recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Folders of pretrained models among the settings, by the last part of their path."""
    towers = [_mapping(tower) for tower in _sequence(recipe.get("towers"))]
    for name, part in [("the encoder", _mapping(recipe.get("encoder"))), *((_code(t.get("name")), t) for t in towers)]:
        folder = _mapping(part.get("options")).get("folder")
        if isinstance(folder, str) and folder:
            yield name, PurePath(folder).name


def _worth(about: Mapping[str, Any]) -> str:
    held_out = _mapping(about.get("held_out"))
    figures = [*_figures(held_out), *_figures(_mapping(about.get("measured")))]
    if not figures:
        return "It was not measured when it was made. Measure it on data of your own before you rely on it."
    shown = figures[:MOST_FIGURES]
    lines = ["| figure | mean | 95 % interval |", "| --- | --- | --- |"]
    lines += [f"| {name} | {mean} | {interval} |" for name, mean, interval in shown]
    if len(figures) > len(shown):
        lines.append(f"\n{len(figures) - len(shown)} further figures are left out here.")
    queries = held_out.get("queries")
    on = "by what the recipe measures itself"
    if queries is not None:
        on = f"on {_code(queries)} queries from the same data, held out of the training, each among the held-out records alone"
    return (
        "\n".join(lines) + f"\n\nMeasured {on}. It was not measured on other data, on larger collections, in other "
        "languages, or for how it treats groups of people: measure it on data of your own before you rely on it."
    )


def _figures(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str, str]]:
    """(name, mean, interval) of every number in a tree of figures."""
    for name, value in values.items():
        path = f"{place} / {name}" if place else str(name)
        if isinstance(value, Mapping) and "mean" in value:
            yield _cell(path), _number(value["mean"]), _interval(value.get("low"), value.get("high"))
        elif isinstance(value, Mapping):
            yield from _figures(value, path)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and path != "queries":
            yield _cell(path), _number(value), "not known"


def _interval(low: Any, high: Any) -> str:
    return "not known" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else _cell(value)


def _licence(about: Mapping[str, Any]) -> str:
    if not about.get("licence"):
        return "Unknown: nobody has said it. Ask who made the model before you use it for more than looking at it."
    return f"{_code(about['licence'])}, as said by who made the model. What its data allow is not known here."


def _list(facts: Iterator[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts)


def _code(value: Any) -> str:
    """A number as it is, any other value as code on one line: backticks would end it, and what cannot be printed is no part of a page."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    text = " ".join(str(value).split())
    text = "".join(c if c.isprintable() else "?" for c in text).replace("`", "'")
    if len(text) > MOST_CHARACTERS:
        text = text[: MOST_CHARACTERS - 3] + "..."
    return f"`{text or '?'}`"


def _cell(value: Any) -> str:
    """The same in a table, where a bar ends the cell even inside code."""
    return _code(value).replace("|", r"\|")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()
