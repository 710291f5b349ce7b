"""`Refusal`: an answer that says no, with a status and the three things that every error of nearfar says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refusal(Exception):
    """Raised anywhere below a route; becomes {"what", "where", "remedy"} as JSON with this status."""

    def __init__(
        self, status: int, what: str, *, where: str = "", remedy: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what)
        self.status, self.what, self.where, self.remedy = status, what, where, remedy
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """What the client reads."""
        return {"what": self.what, "where": self.where, "remedy": self.remedy}


def busy(what: str) -> Refusal:
    """503 that asks the client to come again."""
    return Refusal(503, what, remedy="ask again in a second", headers={"retry-after": "1"})
