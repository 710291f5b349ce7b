"""The page of all claims: outcomes with the false discovery rate, and claims that were not run yet."""

from __future__ import annotations

from collections import Counter
from html import escape

from nearfar.catalogue.site.contents import Contents
from nearfar.catalogue.site.differences import interval
from nearfar.catalogue.site.pieces import named, table, verdict
from nearfar.claims.record import ClaimRecord
from nearfar.claims.table import difference


def claims_body(contents: Contents) -> str:
    """All claims."""
    rows = []
    for row in contents.rows:
        record = row.record
        told = "".join(_one(record, i) for i in range(len(record.comparisons)))
        old = "" if contents.is_current(row.name) else ' <span class="chip">of an earlier form</span>'
        rows.append(
            [
                f'{named(row.name, contents.links)}<br><span class="muted">{escape(record.claim["text"])}</span>',
                verdict(record.verdict or "unfinished") + old,
                told,
                "" if row.q is None else f"{row.q:.3f}",
                f"{record.seconds:,.0f}",
            ]
        )
    missing = [name for name in contents.claims if name not in contents.records]
    counts = Counter(row.record.verdict or "unfinished" for row in contents.rows)
    told = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    blocks = [
        (
            '<h1>Claims</h1><p class="lead">What papers say of their methods, as paired experiments on small real data: every arm with the '
            "same data, budget and tuning, judged by a 95 % interval against a margin that was fixed before.</p>"
            "<p>Reproduced: the interval lies beyond the margin. Contradicted: beyond it on the other side. All else is not reproduced at "
            "this scale, which says how sure the experiment is and not that the paper is wrong. <b>q</b> is the share of false ones that is "
            "expected among all claims with a q as low (Benjamini and Hochberg 1995); an equivalence has none.</p>"
        )
    ]
    head = ("claim", "outcome", "difference [95 %]", "q", "core s")
    blocks.append(f"<p>{len(rows)} of {len(contents.claims)} were run{': ' + told if told else ''}.</p>")
    if rows:
        blocks.append(table(head, rows, numbers=(3, 4)))
    if missing:
        waiting = [[named(n, contents.links), escape(contents.claims[n].claim.text), verdict("")] for n in missing]
        blocks.append(f'<h2 id="not-run-yet">Not run yet</h2>{table((), waiting)}')
    return "".join(blocks)


def _one(record: ClaimRecord, number: int) -> str:
    """A comparison: what is compared, the figures, and the interval drawn."""
    sides, _, figures = difference(record.comparisons[number]).rpartition(": ")
    words = f'{escape(sides)}<br><span class="whole">{escape(figures)}</span>'
    return f'<div class="one"><div>{words}</div>{interval(record, number)}</div>'
