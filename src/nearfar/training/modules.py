"""The modules that an objective holds, found wherever it holds them: so that nothing it learns or remembers has to be declared twice.

A term holds modules as its fields, as the owner of a bound method, inside `functools.partial`, or in the closure of a function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from torch import nn

from nearfar.core.errors import UsageError
from nearfar.objectives.composed import Objective

DEPTH = 8  # of functions within functions; deeper ones are somebody's library, not an objective


def modules_in(objective: Objective) -> nn.ModuleDict:
    """Every module of every term, each once, by the term's name and a number. Raises UsageError for a loose parameter.

    A parameter that stands in a closure without a module around it could be neither saved nor restored.
    """
    found, seen = nn.ModuleDict(), set()
    for name, term in objective.terms.items():
        held = [m for m in _held(vars(term).values(), DEPTH, where=name or "objective") if id(m) not in seen]
        for number, module in enumerate(m for m in dict.fromkeys(held) if id(m) not in seen):
            seen.add(id(module))
            key = (name or "objective").replace(".", "_")
            found[f"{key}_{number}"] = module
    return found


def _held(values: Any, depth: int, where: str) -> Iterator[nn.Module]:
    for value in values:
        if isinstance(value, nn.Module):
            yield value
        elif isinstance(value, nn.Parameter):
            raise UsageError(
                "the objective holds a parameter outside of any module, which no checkpoint would hold",
                where=where,
                remedy="put it into an nn.Module, or build the term from one: temperature=module.temperature",
            )
        elif depth:
            yield from _held(_inside(value), depth - 1, where)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (list, tuple)):
        return list(value)
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(value, type):
        return [owner]
    cells = getattr(value, "__closure__", None) or ()
    inside = [cell.cell_contents for cell in cells if _is_filled(cell)]
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        inside += list(vars(value).values())
    return inside


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True
