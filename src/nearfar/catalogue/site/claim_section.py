"""A claim on its recipe's page: what is compared with what, and what came out, from the stored record alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from nearfar.catalogue.site.contents import Contents
from nearfar.catalogue.site.differences import compared, differences
from nearfar.catalogue.site.pieces import code, facts, folded, named, table, verdict
from nearfar.claims.record import ClaimRecord, told
from nearfar.claims.table import difference


def claim_section(name: str, contents: Contents) -> str:
    """Claim and outcome of a recipe that makes one."""
    claim = contents.claims[name].claim
    about, links = told(claim), contents.links
    measure = about["measure"]
    unit = f"{claim.n} seeds, paired" if claim.unit == "seed" else "single items, paired"
    rows = [
        ("expected", f"<code>{escape(claim.expect)}</code>"),
        ("data", named(claim.data, links)),
        ("measured by", named(measure["part"], links) if measure else "a trial of the recipe's own file"),
        ("figure", escape(claim.metric)),
        ("margin", f"{claim.margin:g}"),
        ("unit", unit),
        ("in all arms", f"<code>{escape(_settings(about['both']))}</code>" if about["both"] else ""),
        ("tuned, in every arm alike", f"<code>{escape(_settings(about['tune']))}</code>" if about["tune"] else ""),
        ("the paper's own", escape(claim.source)),
        ("smaller here", escape(claim.scale)),
    ]
    arms = [
        [
            f"<b>{escape(arm)}</b>",
            _arm(name, one, links),
            f"<code>{escape(_settings({**one['settings'], **one['options']}))}</code>",
        ]
        for arm, one in about["arms"].items()
    ]
    return (
        f'<h2 id="claim">The claim</h2><blockquote>{escape(claim.text[:1].upper() + claim.text[1:])}.</blockquote>'
        f"{_outcome(name, contents)}<h3>The experiment</h3>"
        f"{table(('arm', 'recipe', 'set in it'), arms)}{facts(rows)}"
    )


def _arm(name: str, arm: Mapping[str, Any], links: Mapping[str, str]) -> str:
    recipe = arm["recipe"] or name
    return (
        named(recipe, links)
        if recipe in links
        else f'<code>{escape(recipe)}</code> <span class="muted">of this file</span>'
    )


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{k}={v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)}" for k, v in settings.items()
    )


def _outcome(name: str, contents: Contents) -> str:
    record, command = contents.records.get(name), code(f"nearfar claim {name}", "bash")
    if record is None:
        return f'<div class="outcome"><p>{verdict("")}</p>{command}</div>'
    if not record.verdict:
        return (
            f'<div class="outcome"><p>{verdict("unfinished")} {len(record.trials)} trials are stored</p>{command}</div>'
        )
    kind = {"reproduced": "good", "contradicted": "bad"}.get(record.verdict, "open")
    means = ", ".join(f"{escape(arm)} <b>{mean:.3f}</b>" for arm, mean in record.means.items())
    old = (
        ""
        if contents.is_current(name)
        else "<p><b>The claim or a recipe in it has changed since: this is of its earlier form.</b></p>"
    )
    reading = contents.claims[name].claim.reading
    return (
        f'<div class="outcome {kind}"><p>{verdict(record.verdict)} {escape(record.metric)}: {means}</p>{old}'
        f"<figure>{differences(record)}<figcaption>{_caption(record)}</figcaption></figure>"
        f"{_comparisons(name, record, contents)}"
        f"{f'<p><b>Reading.</b> {escape(reading)}</p>' if reading else ''}{_cost(record)}{_by_seed(record)}</div>"
    )


def _caption(record: ClaimRecord) -> str:
    equal = any("=" in c["comparison"] for c in record.comparisons)
    greater = any(">" in c["comparison"] for c in record.comparisons)
    wanted = " and ".join(
        [
            *(["to the right of the margin"] if greater else []),
            *(["within the margins, where equality is claimed"] if equal else []),
        ]
    )
    dots = "Small dots: paired differences, one a seed. " if record.claim["unit"] == "seed" else ""
    return f"{dots}Large dot and line: their mean and its 95 % interval. Reproduced is what lies, interval and all, in the tinted ground: {wanted}."


def _comparisons(name: str, record: ClaimRecord, contents: Contents) -> str:
    q = next((row.q for row in contents.rows if row.name == name), None)
    unit = "seeds" if record.claim["unit"] == "seed" else "items"
    rows = [
        [escape(difference(c)), f"{c['p_value']:.2g}", f"{c['n']:,} {unit}", verdict(c["verdict"])]
        for c in record.comparisons
    ]
    share = "" if q is None else f'<p class="muted"><a href="claims.html">q</a> among all claims: {q:.3f}</p>'
    return table(("difference [95 %]", "p", "n", "verdict"), rows) + share


def _cost(record: ClaimRecord) -> str:
    machine = record.machine
    where = ", ".join(machine[k] for k in ("processor", "system") if machine.get(k))
    versions = ", ".join(f"{k} {machine[k]}" for k in ("python", "torch") if machine.get(k))
    chosen = "; ".join(f"{arm}: {_settings(one)}" for arm, one in record.chosen.items() if one)
    return facts(
        [
            ("cost", f"{len(record.trials)} trials, {record.seconds:,.0f} core seconds"),
            ("tuning chose", f"<code>{escape(chosen)}</code>" if chosen else ""),
            ("run", escape(f"{record.date}, nearfar {record.nearfar}, {versions}; {where}")),
        ]
    )


def _by_seed(record: ClaimRecord) -> str:
    """The figures behind the drawing."""
    tables = []
    for one in compared(record):
        rows = [[str(seed), f"{a:.4f}", f"{b:.4f}", f"{a - b:+.4f}"] for seed, a, b in one.pairs]
        if rows:
            head = ("seed", one.comparison.first, one.comparison.second, "difference")
            tables.append(table(head, rows, numbers=(1, 2, 3)))
    return folded("Figures by seed", "".join(tables)) if tables else ""
