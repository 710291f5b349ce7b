"""`Backend`: what whoever searches, updates or explains asks of an index, whatever keeps it - `Index` in files, `LanceIndex` in LanceDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, SupportsIndex, runtime_checkable

import numpy as np

from nearfar.search.filters import Filter
from nearfar.search.index import Hits
from nearfar.search.manifest import Manifest


@runtime_checkable
class Backend(Protocol):
    """An open index; `Index` says what each call means, and its errors."""

    directory: Any
    manifest: Manifest

    def __len__(self) -> int: ...

    def check_model(self, model: str | None) -> None: ...

    def nearest(
        self, queries: np.ndarray, k: int = 10, *, where: Sequence[Filter] = (), model: str | None = None
    ) -> Hits: ...

    def words(self, text: str, k: int = 10, *, where: Sequence[Filter] = (), prefix: bool = False) -> Hits: ...

    def row(self, slot: SupportsIndex) -> dict[str, Any]: ...

    def rows(self, slots: Iterable[SupportsIndex]) -> list[dict[str, Any]]: ...

    def named(self, slots: Iterable[SupportsIndex]) -> dict[int, tuple[str, dict[str, Any]]]: ...

    def key(self, slot: SupportsIndex) -> str: ...

    def slot(self, key: str) -> int | None: ...

    def slots(self) -> np.ndarray: ...

    def all_keys(self) -> Iterator[str]: ...

    def vectors(self, slots: Sequence[SupportsIndex] | np.ndarray) -> np.ndarray: ...

    def columns(self) -> dict[str, dict[Any, int]]: ...

    def add(
        self,
        vectors: np.ndarray,
        rows: Iterable[Mapping[str, Any]],
        keys: Iterable[str] | None = None,
        *,
        sources: Sequence[bytes] | None = None,
    ) -> int: ...

    def delete(self, keys: Iterable[str]) -> int: ...

    def set_column(self, name: str, slots: Iterable[SupportsIndex], values: Iterable[Any]) -> int: ...

    def unchanged(self, keys: Sequence[str], sources: Sequence[bytes]) -> list[bool]: ...

    def remember(self, **about: Any) -> None: ...

    def compact(self) -> int: ...

    def close(self) -> None: ...
