"""`Subject`: whatever is measured - a model, a path to one, or a function from records to vectors - in one form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.model import Model
from nearfar.core.parts import unknown
from nearfar.core.progress import Update
from nearfar.training.load import load

Embed = Callable[[list[Any], str, Update], Any]


@dataclass(frozen=True)
class Subject:
    """A model in the form that tasks use.

    name         as it is shown
    fingerprint  what its vectors are kept by; "" where nobody knows what it computes
    cosine       whether vectors are compared by cosine
    sides        it has; none: it makes no difference
    embed        (records, side, progress) -> vectors [n d]
    items        side -> the table [items d] by whose products a model of sequences scores items; None: there is none
    """

    name: str
    fingerprint: str
    cosine: bool
    sides: tuple[str, ...]
    embed: Embed
    items: Callable[[str], Any] = lambda side: None

    def side(self, role: str) -> str:
        """The side for a role: the one of its name, else the first. "=NAME" is asked for by name.

        Raises UsageError for a side by name that the model has not.
        """
        name = role.removeprefix("=")
        if name in self.sides or not self.sides:
            return name
        if name != role:
            error = unknown(name, self.sides, "side of this model")
            raise UsageError(error.what, where="sides", remedy=error.remedy)
        return self.sides[0]

    def item_table(self, role: str) -> np.ndarray:
        """The items' vectors [items d]. Raises UsageError for a model without a table of items."""
        found = self.items(self.side(role))
        if found is None:
            raise UsageError(
                "the model has no table of items",
                where=self.name,
                remedy="give a file of `items` with their texts, or a model of sequences of items",
            )
        return found

    def vectors(self, records: Sequence[Any], side: str, progress: Update) -> np.ndarray:
        """Checked vectors [n d] float32. Raises DataError for others than finite numbers, one row a record."""
        found = self.embed(list(records), side, progress)
        found = found.detach().cpu() if hasattr(found, "detach") else found
        try:
            made = np.asarray(found, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"the model gives no table of numbers: {error}", where=self.name, remedy="return an array [n d]"
            ) from error
        if made.ndim != 2 or len(made) != len(records):
            raise DataError(
                f"the model gives an array of shape {list(made.shape)} for {len(records)} records",
                where=self.name,
                remedy="return one vector a record: [n d]",
            )
        if not np.isfinite(made).all():
            bad = int(np.flatnonzero(~np.isfinite(made).all(1))[0])
            raise DataError(
                "the model gives vectors that are not finite", where=f"{self.name}, record {bad}", remedy="repair it"
            )
        return made


def subject(model: Any, name: str = "", precision: str = "float32") -> Subject:
    """What is measured, from a model, a path that `nf.load` takes, or a function from n records to an array [n d].

    A function with a parameter `side` is told the side. `name` is its fingerprint: whoever names it says that the same name always
    computes the same vectors.

    Raises UsageError for anything else; DataError for a path that holds no model.
    """
    if isinstance(model, (str, PathLike)):
        path = Path(model)
        model, name = load(path), name or path.name
    if isinstance(model, Model):
        whole = model

        def embed(records: list[Any], side: str, progress: Update) -> Any:
            return whole.encode(records, side=side, precision=precision, progress=progress)

        about = str(whole.about.get("recipe") or whole.about.get("source") or "model")

        def items(side: str) -> Any:
            tower = whole.tower(side)
            return (
                tower.items.weight[: tower.setup.items].detach().float().cpu().numpy()
                if hasattr(tower, "items")
                else None
            )

        print_of = f"{whole.fingerprint}-{precision}"
        return Subject(name or about, print_of, whole.similarity == "cosine", tuple(whole.sides), embed, items)
    if not callable(model):
        raise UsageError(
            f"{type(model).__name__} is no model",
            where="model",
            remedy="give a model, a path to one, or a function from records to an array [n d]",
        )
    if precision != "float32":
        raise UsageError("a function has a precision of its own", where="precision", remedy="leave it out")
    call: Any = model
    sided = _takes_side(call)

    def embed_by_call(records: list[Any], side: str, progress: Update) -> Any:
        found = call(records, side=side) if sided else call(records)
        progress(len(records), len(records))
        return found

    shown = name or getattr(call, "__name__", type(call).__name__)
    return Subject(shown, f"named {name}" if name else "", True, (), embed_by_call)


def _takes_side(call: Any) -> bool:
    try:
        found = signature(call).parameters.get("side")
    except (TypeError, ValueError):  # some built-in functions do not tell
        return False
    return found is not None and found.kind in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
