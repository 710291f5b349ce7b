"""Zero-shot tags: each row gets the tags whose description is nearest by cosine, from a list that no training has seen.

        cosine of row i and tag t:  x_i y_t,    y_t the vector of the template with the tag's description in it
        probability:                exp(x_i y_t / T) / sum over tags u of exp(x_i y_u / T)

T is the temperature that the model was trained with; where that is not known, or was learned, no probability is told: a cosine alone is
none. Probabilities are among the given tags, also where none of them fits; `least` is what finds those rows.
Kin: the probe `zero_shot` measures a model by this. Source: Radford et al. 2021 (arXiv 2103.00020), section 3.1; template and T from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.search.living import Living

BLOCK = 8192
NONE = "none"
TEMPLATE = "this text is about {}"
LARGEST = 1 << 20  # bytes of a file of tags


class Tag(NamedTuple):
    """A tag, and what stands for it in the template."""

    name: str
    description: str


@dataclass(frozen=True)
class Tagged:
    """The tags of n rows.

    order        [n t] int64: numbers of all tags, nearest first
    cosines      [n t] float32, in that order
    probability  [n] float32 of the first; None where the model's temperature is not known
    given        [n] int64: how many of the first tags each row gets
    """

    order: np.ndarray
    cosines: np.ndarray
    probability: np.ndarray | None
    given: np.ndarray

    def of(self, row: int) -> list[int]:
        """The numbers of a row's tags, nearest first; nothing where none reaches the least cosine."""
        return self.order[row, : self.given[row]].tolist()


def tagged(
    vectors: np.ndarray | Living,
    tags: np.ndarray,
    *,
    least: float | None = None,
    several: bool = False,
    temperature: float | None = None,
) -> Tagged:
    """Tag rows of unit length [n d] by vectors of tags [t d].

    least        the least cosine of a tag that is given; None: every row gets one
    several      all tags that reach `least`, not the nearest alone
    temperature  of the softmax; None: no probabilities

    >>> x, tags = np.array([[1, 0], [0.6, 0.8], [0, -1]], dtype="float32"), np.eye(2, dtype="float32")
    >>> found = tagged(x, tags, least=0.5, several=True, temperature=1.0)
    >>> [found.of(i) for i in range(3)], found.probability.round(2).tolist() == np.float32([0.73, 0.55, 0.73]).tolist()
    ([[0], [1, 0], []], True)

    Raises UsageError for `several` without `least`, and a temperature that is not positive.
    """
    if several and least is None:
        raise UsageError(
            "from which cosine on does a row get a tag?",
            where="least",
            remedy="give a least cosine with several tags a row",
        )
    if temperature is not None and not temperature > 0:
        raise UsageError("the temperature must be positive", where="temperature", remedy="give none if it is not known")
    n, count = len(vectors), len(tags)
    order = np.empty((n, count), dtype=np.int64)
    cosines = np.empty((n, count), dtype=np.float32)
    probability = None if temperature is None else np.empty(n, dtype=np.float32)
    for start in range(0, n, BLOCK):
        part = slice(start, start + BLOCK)
        scores = vectors[part] @ tags.T
        order[part] = np.argsort(-scores, axis=1, kind="stable")
        cosines[part] = np.take_along_axis(scores, order[part], 1)
        if probability is not None and temperature is not None:
            behind = (cosines[part] - cosines[part, :1]).astype(np.float64) / temperature
            probability[part] = 1 / np.exp(behind).sum(1)
    reach = np.full(n, count) if least is None else (cosines >= np.float32(least)).sum(1)
    return Tagged(order, cosines, probability, reach if several else np.minimum(reach, 1))


def read_tags(given: str) -> list[Tag]:
    """Tags from "a,b,c", or from a file: one a line, with a description behind a tab if there is one.

    >>> read_tags("sports, politics")
    [Tag(name='sports', description='sports'), Tag(name='politics', description='politics')]

    Raises UsageError for fewer than two tags and for one that is there twice, DataError for a file that is no text.
    """
    path = Path(given)
    is_file = len(given) < 1024 and path.is_file()
    lines = _lines(path) if is_file else given.split(",")
    pieces = [line.partition("\t") for line in lines if line.strip()]
    tags = [Tag(name.strip(), (description or name).strip()) for name, _, description in pieces]
    names = [tag.name for tag in tags]
    twice = next((name for name in names if names.count(name) > 1), None)
    if len(tags) < 2 or twice is not None or "" in names:
        what = (
            f"the tag {twice!r} is there twice"
            if twice
            else f"{len(tags)} tags"
            if len(tags) < 2
            else "a tag has no name"
        )
        remedy = 'give two or more, such as --tags "sports,politics", or a file with one a line'
        if len(tags) == 1 and not is_file and ("/" in given or "." in given):
            remedy = f"there is no file {given!r}; {remedy}"
        raise UsageError(what, where=given if is_file else "--tags", remedy=remedy)
    if NONE in names:
        raise UsageError(
            f"{NONE!r} is what a row without a tag gets", where="--tags", remedy="call this tag something else"
        )
    return tags


def prompts(tags: Sequence[Tag], template: str) -> list[str]:
    """The texts that stand for the tags. UsageError for a template without a place for them."""
    if "{}" not in template:
        raise UsageError(
            f"the template {template!r} has no place for a tag",
            where="--template",
            remedy=f"write {{}} there: {TEMPLATE!r}",
        )
    return [template.replace("{}", tag.description) for tag in tags]


def temperature_of(about: Mapping[str, Any]) -> float | None:
    """The fixed temperature that a model was trained with, from its `about`; None where it is not told, or was learned.

    >>> trained = {"rule": "info_nce", "similarity": "cosine", "temperature": 0.05, "learn_temperature": False}
    >>> temperature_of({"recipe": {"objective": trained}}), temperature_of({"recipe": {"objective": {**trained, "learn_temperature": True}}})
    (0.05, None)
    """
    recipe = about.get("recipe")
    objective = recipe.get("objective") if isinstance(recipe, Mapping) else None
    if (
        not isinstance(objective, Mapping)
        or objective.get("similarity") != "cosine"
        or objective.get("rule") != "info_nce"
    ):
        return None
    value = objective.get("temperature")
    if objective.get("learn_temperature") is False and isinstance(value, int | float) and value > 0:
        return float(value)
    return None


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError("this is too large for a list of tags", where=str(path), remedy="give one tag a line")
        return path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError("this is no text in UTF-8", where=str(path), remedy="give one tag a line") from error
    except OSError as error:
        raise ResourceError(
            f"cannot read: {error.strerror}", where=str(path), remedy="check its permissions"
        ) from error
