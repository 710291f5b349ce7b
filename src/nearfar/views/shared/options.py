"""Options of views: what is no share of anything, and what is no range, is refused when a view is made."""

from __future__ import annotations

from nearfar.core.errors import UsageError


def check_share(share: float, view: str, name: str = "share") -> None:
    """Raises UsageError, which names the view and its option, for a share or probability outside 0 to 1."""
    if not 0 <= share <= 1:
        raise UsageError(f"a {name} of {share}", where=f"{view}.{name}", remedy="give a number from 0 to 1")


def check_range(name: str, ends: tuple[float, float], view: str, *, least: float, most: float) -> None:
    """Raises UsageError for a range that is empty, or not within `least` (excluded) to `most`."""
    if len(ends) != 2 or not least < ends[0] <= ends[1] <= most:
        raise UsageError(
            f"{name} from {ends[0]} to {ends[-1]}",
            where=f"{view}.{name}",
            remedy=f"give the lower and the upper end, above {least:g}" + (f", up to {most:g}" if most < 1e9 else ""),
        )
