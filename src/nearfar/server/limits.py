"""How much one request, one client and all of them together may ask for; everything beyond is refused, never tried."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of a server. Sizes are bytes, times are seconds.

    query, k, batch, filters   letters of a query, hits of one, queries of a batch, conditions of one
    rows, keys                 records of one write, keys of one deletion
    headers, body              request line with headers, and body
    headers_within, body_within, read_within, idle    until headers and body are whole, an answer is taken, a quiet connection is closed
    answer_within, stop_within                        until an answer is given up, and those in flight when the server stops
    connections, in_flight, waiting                   open at once, being answered at once, waiting for one index
    threads                                           of one index
    """

    query: int = 1_000
    k: int = 100
    batch: int = 64
    filters: int = 8
    filter: int = 200
    key: int = 1_000
    rows: int = 256
    keys: int = 256
    headers: int = 16_384
    body: int = 1 << 20
    headers_within: float = 10.0
    body_within: float = 20.0
    read_within: float = 30.0
    idle: float = 30.0
    answer_within: float = 20.0
    stop_within: float = 20.0
    connections: int = 256
    in_flight: int = 64
    waiting: int = 32
    threads: int = max(2, min(4, os.cpu_count() or 1))
