"""The page `/status`: tables made on the server, renewed by a script of a few lines that fetches the page again.

Nothing is shown that was not escaped, and the policy lets in this very style and this very script, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from html import escape
from typing import Any

STYLE = """
:root{color-scheme:light dark;--ink:#1d1a16;--dim:#6f675d;--ground:#faf8f5;--card:#fff;--edge:#e6e1d9;--bar:#bd4219;
--good:#3f6f3a;--bad:#a8261b}
@media (prefers-color-scheme:dark){:root{--ink:#f3efe9;--dim:#a39a8e;--ground:#141310;--card:#1e1c18;--edge:#37332c;
--bar:#ea7d55;--good:#8fc386;--bad:#f08a7c}}
*{box-sizing:border-box}
body{margin:0;padding:2rem 1rem 4rem;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground)}
main{max-width:70rem;margin:0 auto;display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr))}
header,section.wide{grid-column:1/-1}
h1{font-weight:650;letter-spacing:-.02em;margin:0;font-size:1.5rem}
h2{font-size:.8rem;font-weight:600;color:var(--dim);margin:0 0 .5rem}
section{background:var(--card);border:1px solid var(--edge);border-radius:.75rem;padding:1rem;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top;font-weight:400}
th{color:var(--dim)}
thead th{font-size:.8rem;border-bottom:1px solid var(--edge)}
td.n,th.n{text-align:right}
p{margin:.25rem 0;color:var(--dim)}
.good{color:var(--good)}.bad{color:var(--bad)}
progress{accent-color:var(--bar);width:7rem;vertical-align:middle}
code{font:.85em ui-monospace,monospace}
"""
SCRIPT = """
const renew=async()=>{try{const answer=await fetch(location.href,{cache:"no-store"});
if(answer.ok){const fresh=new DOMParser().parseFromString(await answer.text(),"text/html").querySelector("main");
if(fresh)document.querySelector("main").replaceWith(fresh)}
else document.querySelector("#when").textContent="The studio answers "+answer.status+"."}
catch(error){document.querySelector("#when").textContent="The studio does not answer."}
setTimeout(renew,document.hidden?15000:2000)};setTimeout(renew,2000)
"""


@cache
def policy() -> str:
    """The page's Content Security Policy."""
    style, script = (
        base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in (STYLE, SCRIPT)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; "
        "img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def render(report: Mapping[str, Any]) -> str:
    """The whole page for a `StatusReport` as plain data."""
    state = "good" if report["ready"] and not report["paused"] else "bad"
    said = f"{report['message']}{' The queue is paused.' if report['paused'] else ''}"
    where = escape(report["device"] or "no device yet")
    parts = [
        f'<header><h1>Atelier</h1><p class="{state}">{escape(said)}</p>'
        f'<p id="when">Up for {_span(report["up_seconds"])} on {where}.</p></header>',
        _pairs("Jobs", {**report["jobs"], "requests that wait": _size(report["waiting_bytes"])}.items()),
        _pairs("Speeds", _speeds(report["speeds"])),
        _pairs("Memory", ((name.replace("_", " "), _size(value)) for name, value in report["memory"].items())),
        _pairs("Models in memory", ((name, "") for name in report["models"])),
        _pairs("Caches", _caches(report["caches"])),
        _pairs("Refused requests", report["refused"].items()),
        _lanes(report["lanes"]),
        _waiting(report["waiting"]),
        _errors(report["errors"]),
        _shares(report["shares"]),
        _pairs("Versions", report["versions"].items()),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Status of Atelier</title>'
        '<link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><main>{''.join(parts)}</main><script>{SCRIPT}</script></body></html>"
    )


def _speeds(speeds: Mapping[str, Any]) -> list[tuple[str, str]]:
    step, samples = speeds["seconds_per_step"], speeds["samples_per_forward"]
    return [
        ("jobs a minute", f"{speeds['jobs_per_minute']:.0f}"),
        ("a step", "not measured" if step is None else f"{step * 1000:.0f} ms"),
        ("samples a forward", "not measured" if samples is None else f"{samples:.1f}"),
    ]


def _caches(caches: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    return [(name, f"{row['hits']} of {row['hits'] + row['misses']} found") for name, row in sorted(caches.items())]


def _pairs(title: str, rows: Iterable[tuple[str, Any]]) -> str:
    body = "".join(f'<tr><th>{escape(name)}</th><td class="n">{escape(str(value))}</td></tr>' for name, value in rows)
    return f"<section><h2>{title}</h2>{f'<table>{body}</table>' if body else '<p>none</p>'}</section>"


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Cells are HTML already."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    head = "".join(f"<th>{name}</th>" for name in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if body else "<p>none</p>"
    return f'<section class="wide"><h2>{title}</h2>{table}</section>'


def _lanes(lanes: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        [str(lane["lane"]), *(_busy(lane) if lane["job_id"] is not None else ("idle", *[""] * 5))] for lane in lanes
    ]
    return _table("Lanes", ("lane", "job", "owner", "model", "stage", "progress", "time"), rows)


def _busy(lane: Mapping[str, Any]) -> tuple[str, ...]:
    bar = f'<progress max="1" value="{lane["progress"]:.3f}"></progress> {lane["progress"]:.0%}'
    model = escape(lane["model"] or "default")
    return _id(lane["job_id"]), escape(lane["owner"]), model, escape(lane["stage"]), bar, _span(lane["seconds"])


def _waiting(jobs: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        [
            _id(job["job_id"]), escape(job["owner"]), escape(job["model"] or "default"), _moment(job["created"]),
            str(job["priority"]), "held back" if job["paused"] else "",
        ]
        for job in jobs
    ]  # fmt: skip
    return _table("Waiting, oldest first", ("job", "owner", "model", "since", "priority", ""), rows)


def _errors(errors: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        [_moment(row["ended"]), _id(row["job_id"]), escape(row["owner"]), escape(row["kind"]), escape(row["message"])]
        for row in errors
    ]
    return _table("Failed of late", ("when", "job", "owner", "kind", "why"), rows)


def _shares(shares: Iterable[Mapping[str, Any]]) -> str:
    rows = [[escape(row["owner"]), f"{row['weight']:g}", _span(row["used_seconds"])] for row in shares]
    return _table("Owners", ("owner", "weight", "time on lanes"), rows)


def _id(text: str) -> str:
    return f"<code>{escape(text[:12])}</code>"


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.0f} min" if minutes < 100 else f"{hours:.1f} h"
