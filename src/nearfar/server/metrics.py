"""Counts of what the server did, in the text form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Mapping

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Requests by route, method and status, their seconds by route, and how many are being answered."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, tuple[list[int], float]] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request more. Routes and methods are the server's own words, so that their number is bounded."""
        key = (route, method, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        counts, total = self._seconds.setdefault(route, ([0] * (len(BOUNDS) + 1), 0.0))
        counts[next((i for i, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))] += 1
        self._seconds[route] = (counts, total + seconds)

    def text(self, rows: Mapping[str, int], healthy: Mapping[str, bool]) -> str:
        """The page of GET /metrics; `rows` and `healthy` by the name of an index."""
        lines = [
            "# HELP nearfar_requests_total Requests answered.",
            "# TYPE nearfar_requests_total counter",
            *(
                f'nearfar_requests_total{{route="{route}",method="{method}",status="{status}"}} {count}'
                for (route, method, status), count in sorted(self._requests.items())
            ),
            "# HELP nearfar_request_seconds Time from the headers of a request to the end of its answer.",
            "# TYPE nearfar_request_seconds histogram",
        ]
        for route, (counts, total) in sorted(self._seconds.items()):
            below = 0
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                below += count
                lines.append(f'nearfar_request_seconds_bucket{{route="{route}",le="{bound}"}} {below}')
            lines.append(f'nearfar_request_seconds_sum{{route="{route}"}} {total:.6f}')
            lines.append(f'nearfar_request_seconds_count{{route="{route}"}} {below}')
        lines += ["# HELP nearfar_in_flight Requests being answered.", "# TYPE nearfar_in_flight gauge"]
        lines.append(f"nearfar_in_flight {self.in_flight}")
        lines += ["# HELP nearfar_rows Rows of an index.", "# TYPE nearfar_rows gauge"]
        lines += [f'nearfar_rows{{index="{_label(name)}"}} {count}' for name, count in rows.items()]
        lines += ["# HELP nearfar_healthy 1 unless damage was found.", "# TYPE nearfar_healthy gauge"]
        lines += [f'nearfar_healthy{{index="{_label(name)}"}} {int(well)}' for name, well in healthy.items()]
        return "\n".join(lines) + "\n"


def _label(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
