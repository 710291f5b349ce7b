"""What a route is: a method of a path, what it takes, what it gives, and who answers it.

Requests are checked against these, and the OpenAPI document is written from them, so that neither says what the other does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nearfar.server.schema import Schema

JSON, TEXT = "application/json", "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Param:
    """A parameter of the query string; one whose schema is an array may be repeated. Without a default it is required."""

    name: str
    schema: Schema
    summary: str
    default: Any = None
    required: bool = False


@dataclass(frozen=True)
class Given:
    """A checked request: parameters with their defaults, and the body."""

    params: Mapping[str, Any]
    body: Any = None


@dataclass(frozen=True)
class Route:
    """One method of one path.

    answer   schema of the answer
    errors   statuses that it may refuse with, beside those of every route
    open     answered without the token
    media    type of the answer
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Given], Awaitable[Any]]
    answer: Schema
    params: Sequence[Param] = ()
    body: Schema | None = None
    errors: Sequence[int] = ()
    open: bool = False
    media: str = JSON
