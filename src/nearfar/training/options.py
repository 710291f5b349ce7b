"""From names with options to parts: each option of the type that the part's function asks for, a wrong name lists the right ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_type_hints

import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.core.parts import find, resolve
from nearfar.core.recipe import Contrast, Part, Recipe
from nearfar.core.tree import read_value
from nearfar.core.use import Use

# Where parts stand in a contrastive objective, and of which kind they are.
PLACES = {
    "rule": "objectives",
    "relation": "relations",
    "similarity": "keys",
    "head": "heads",
    "predictor": "heads",
    "keys": "keys",
    "own": "keys",
}
NEEDED = "(must be said)"  # the value that a setting without a default is listed with


def use_of(spec: str | Use) -> Use:
    """A name alone is a part without options."""
    return Use(spec) if isinstance(spec, str) else spec


def made(spec: Part, kind: str, where: str, *given: Any, **known: Any) -> Any:
    """What a part's function makes of its options; a function of a user's own file is taken as it is.

    `given` are positional arguments that the library knows (a dimension), `known` keyword ones that are passed if asked for (a seed).
    """
    if not isinstance(spec, (str, Use)):
        return spec
    use = use_of(spec)
    maker = resolve(use.part, kind)
    asked = set(inspect.signature(maker).parameters)
    extra = {name: value for name, value in known.items() if name in asked and name not in use.options}
    return maker(*given, **extra, **options(use, maker, where, len(given), extra))


def options(
    use: Use, function: Callable[..., Any], where: str, given: int = 0, filled: Collection[str] = ()
) -> dict[str, Any]:
    """The options of a use, typed; the first `given` parameters are the library's, as are those `filled` by name.

    Raises UsageError for an unknown name, a value of the wrong type, or one that is missing.
    """
    parameters = list(inspect.signature(function).parameters.values())[given:]
    known, types = [p.name for p in parameters], get_type_hints(function)
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in {*use.options, *filled}]
    if missing:
        raise UsageError(f"{use.part!r} needs {missing[0]!r}", where=f"{where}.{missing[0]}", remedy="say what it is")
    typed = {}
    for name, value in use.options.items():
        if name not in known:
            raise UsageError(
                f"{use.part!r} has no option {name!r}",
                where=f"{where}.{name}",
                remedy=f"its options: {', '.join(known)}" if known else "it has none",
            )
        plain = value is None or isinstance(value, (bool, int, float, str, list, tuple, Mapping))
        try:
            typed[name] = read_value(types.get(name, Any), value, f"{where}.{name}") if plain else value
        except DataError as error:
            raise UsageError(error.what, where=error.where, remedy=error.remedy) from error
    return typed


def options_of(function: Callable[..., Any]) -> dict[str, Any]:
    """What can be set of a part: every parameter with a default, and that default."""
    return {p.name: p.default for p in inspect.signature(function).parameters.values() if p.default is not p.empty}


def settings_of_parts(recipe: Recipe) -> dict[str, Any]:
    """Every option of the parts that a recipe names, by its dotted name, with the value it has."""
    found = {f"encoder.{k}": v for k, v in encoder_options(recipe.encoder).items()}
    for tower in recipe.towers:
        found |= {f"{tower.name}.{k}": v for k, v in encoder_options(Use(tower.part, tower.options)).items()}
    for head in recipe.heads:
        maker = resolve(head.part, "heads")
        found |= {f"{head.name}.{k}": v for k, v in (options_of(maker) | dict(head.options)).items()}
    for feed in recipe.streams:
        for view in feed.views:
            if isinstance(view, (str, Use)):
                use = use_of(view)
                known = options_of(resolve(use.part, "views")) | dict(use.options)
                found |= {f"{feed.name}.{use.part}.{k}": v for k, v in known.items()}
    objective = recipe.objective
    if isinstance(objective, Use):
        maker = resolve(objective.part, "objectives")
        found |= {f"objective.{k}": v for k, v in (options_of(maker) | dict(objective.options)).items()}
    if not isinstance(objective, Contrast):
        return found
    for field, kind in PLACES.items():
        named = getattr(objective, field)
        several = isinstance(named, tuple)
        for one in named if several else (named,):
            if isinstance(one, Use) or (isinstance(one, str) and field != "similarity"):
                use = use_of(one)
                place = f"objective.{use.part if several else field}"
                known = options_of(resolve(use.part, kind)) | dict(use.options)
                found |= {f"{place}.{name}": value for name, value in known.items()}
    return found


def encoder_options(use: Use) -> dict[str, Any]:
    """Every option of an encoder with the value that it has in the recipe."""
    return _encoder_maker(use)[1] | dict(use.options)


def _encoder_maker(use: Use) -> tuple[Callable[..., Any], dict[str, Any]]:
    """What fits the encoder, and its options with their defaults."""
    part = find(use.part, "encoders")
    maker = part.load(part.public[0]).fit
    keywords = [
        p for p in inspect.signature(maker).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name != "seed"
    ]
    return maker, {p.name: NEEDED if p.default is p.empty else p.default for p in keywords}


def fit_encoder(use: Use, records: Mapping[str, Any], seed: int, where: str = "encoder") -> Any:
    """An encoder with fresh weights, fitted to the records of each side: its vocabulary, the number of features."""
    maker, known = _encoder_maker(use)
    for name in use.options:
        if name not in known:
            raise UsageError(
                f"the encoder {use.part!r} has no option {name!r}",
                where=f"{where}.{name}",
                remedy=f"there are {', '.join(known)}",
            )
    with torch.random.fork_rng(devices=[]):  # initialisation must not move the user's own generator
        torch.manual_seed(seed)
        return maker(records, seed=seed, **options(use, maker, where, given=1))
