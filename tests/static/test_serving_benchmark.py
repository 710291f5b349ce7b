"""The section of the benchmarks' page about the server says what its record says, also where the aim is missed."""

from programs import module

KINDS = ("type alone", "type", "write", "all")


def record(pages, alone):
    rows = [
        {"kind": k, "clients": 1, "rate": 9.0, "p50_ms": 20.0, "p99_ms": 400.0, "errors": 0, "session": 0}
        for k in KINDS
    ]
    rows[0]["p99_ms"] = alone
    rows[-1]["memory_mb"] = [100.0, 110.4, 109.6]
    settings = {"records": 2000, "dimension": 64, "seconds": 3.0}
    return {"rows": rows, "settings": settings, "sessions": [pages.records()["encode"]["sessions"][0]]}


def test_the_section_says_what_the_record_says():
    pages, section = module("benchmarks", "docs"), module("benchmarks_serving", "docs")
    text = "\n".join(section.serving(record(pages, 49.0), pages.table, pages.origin))
    assert "within 49 ms (at most 50: reached)" in text
    assert "| write | 1 | 9.0 | 20 | 400 | 0 |" in text
    assert "100 MB at the start of the load, 110 half-way, 110 at its end" in text
    assert "2,000 records" in text
    assert "within 51 ms (at most 50: **not reached**)" in "\n".join(
        section.serving(record(pages, 51.0), pages.table, pages.origin)
    )
    assert section.serving(None, pages.table, pages.origin) == ["Not measured yet: `make bench`."]
