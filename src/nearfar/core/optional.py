"""Packages that are no part of the base install: imported where they are used, with an error that names the extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nearfar.core.errors import ResourceError


def needed(module: str, extra: str) -> Any:
    """The module, typed loosely. Raises ResourceError, which says what to install, where its package is not there."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there; something that it needs is not
        raise ResourceError(
            f"this needs the package {package}, which is not installed", remedy=f"pip install 'nearfar[{extra}]'"
        ) from error
