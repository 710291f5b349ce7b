"""One family of errors: each says what is wrong, where, and what to do about it.

The command line prints exactly these three and leaves with `exit_code`; `--debug` adds the traceback.
"""

from __future__ import annotations


class NearfarError(Exception):
    """Base of every error that nearfar raises on purpose.

    `what` is one sentence, `where` a file, line, column or option, `remedy` an action the reader can take.
    """

    exit_code = 5

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(what + (f" [{where}]" if where else "") + (f" -> {remedy}" if remedy else ""))


class UsageError(NearfarError, ValueError):
    """The call itself is wrong: an unknown name, a bad option, shapes that do not fit."""

    exit_code = 2


class DataError(NearfarError, ValueError):
    """The input is wrong: a file, a line, a column, a value, a stored model."""

    exit_code = 3


class ResourceError(NearfarError, RuntimeError):
    """The machine cannot: no memory, no room, no permission, a missing optional package."""

    exit_code = 4
