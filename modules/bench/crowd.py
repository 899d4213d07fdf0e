"""Clients that ask again and again, each for a mix of kinds and sizes, and what became of every request."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from modules.bench.residents import bearer

KINDS = {"txt2img": 50, "img2img": 15, "progress": 15, "options": 10, "png-info": 10}
"""How often each kind is asked for, of a hundred."""
DRAWING = ("txt2img", "img2img")
SIDES = (64, 96, 128, 160)
MOST_STEPS = 6
PATIENCE_SECONDS = 900.0
REFUSALS = (429, 503)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request."""

    kind: str
    status: int
    """0 for a connection that failed."""
    seconds: float
    polite: bool
    """A refusal that says when to come again."""
    sound: bool
    """What came back holds what was asked for."""
    detail: str = ""
    owner: str = ""
    """Who asked, where that is known."""

    @property
    def draws(self) -> bool:
        """It asks for a picture."""
        return self.kind in DRAWING

    @property
    def refused(self) -> bool:
        """It was not admitted, in the way that the API promises."""
        return self.status in REFUSALS and self.polite

    @property
    def failed(self) -> bool:
        """It was admitted and came to nothing."""
        return not self.refused and not (200 <= self.status < 300 and self.sound)


@dataclass(slots=True)
class Crowd:
    """Clients of one server."""

    url: str
    clients: int
    owners: Sequence[str] = ()
    """Whose each client is; nobody's where there are no accounts."""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """By owner."""
    outcomes: list[Outcome] = field(default_factory=list)

    async def ask(self, seconds: float) -> None:
        """Ask for that long, then let everybody finish what was begun."""
        end = time.monotonic() + seconds
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=self.clients)
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_SECONDS, limits=limits) as http:
            await asyncio.gather(*(self._live(http, number, end) for number in range(self.clients)))

    async def _live(self, http: httpx.AsyncClient, number: int, end: float) -> None:
        chance, owner = random.Random(number), self.owners[number] if self.owners else ""
        while time.monotonic() < end:
            outcome = await ask_once(http, chance, owner, self.tokens.get(owner))
            self.outcomes.append(outcome)
            if outcome.refused or outcome.failed:
                await asyncio.sleep(0.5)


async def ask_once(
    http: httpx.AsyncClient, chance: random.Random, owner: str = "", token: str | None = None
) -> Outcome:
    """One request of a kind drawn by lot, from `owner` where there is a token."""
    headers = {} if token is None else bearer(token)
    (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
    begun = time.monotonic()
    try:
        if kind in ("progress", "options"):
            answer = await http.get(f"/sdapi/v1/{kind}", headers=headers)
        else:
            answer = await http.post(f"/sdapi/v1/{kind}", json=body_of(kind, chance), headers=headers)
    except httpx.TransportError as error:
        return Outcome(kind, 0, time.monotonic() - begun, False, False, type(error).__name__, owner)
    seconds, polite = time.monotonic() - begun, "retry-after" in answer.headers
    sound = answer.is_success and is_sound(kind, answer.content)
    return Outcome(kind, answer.status_code, seconds, polite, sound, "" if sound else answer.text[:200], owner)


def is_sound(kind: str, content: bytes) -> bool:
    """Whether an answer holds what that kind promises."""
    told: dict[str, Any] = json.loads(content)
    if kind in DRAWING:
        images = told.get("images", ())
        return len(images) == 1 and base64.b64decode(images[0]).startswith(b"\x89PNG")
    return {"progress": "state", "options": "samples_format", "png-info": "info"}[kind] in told


def body_of(kind: str, chance: random.Random) -> dict[str, Any]:
    """What is posted: small pictures of several sizes and step counts, so that some of them merge and some do not."""
    if kind == "png-info":
        return {"image": picture(chance.choice(SIDES))}
    side, words = chance.choice(SIDES), chance.choice(("a red circle", "a blue star", "a green house at night"))
    body: dict[str, Any] = {
        "prompt": f"{words}, number {chance.randrange(40)}",
        "steps": chance.randint(1, MOST_STEPS),
        "seed": chance.randrange(2**31),
        "width": side,
        "height": side,
        "save_images": chance.random() < 0.5,
    }
    if kind == "img2img":
        body |= {"init_images": [picture(side)], "denoising_strength": 0.7}
    return body


def picture(side: int) -> str:
    """A PNG in base64."""
    from PIL import Image

    stream = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).convert("RGB").save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def summary(outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """Counts, waiting times and throughput of what was asked within `seconds`."""
    kinds = {}
    for kind in KINDS:
        mine = [one for one in outcomes if one.kind == kind]
        waits = [one.seconds for one in mine if not one.failed and not one.refused]
        kinds[kind] = {
            "asked": len(mine),
            "answered": len(waits),
            "refused": dict(Counter(str(one.status) for one in mine if one.refused)),
            "failed": sum(one.failed for one in mine),
            **{f"{name}_seconds": round(percentile(waits, part), 3) for name, part in (("p50", 0.5), ("p95", 0.95))},
        }
    wrong = [one for one in outcomes if one.failed]
    drawn = sum(one.draws and not one.failed and not one.refused for one in outcomes)
    return {
        "requests": len(outcomes),
        "requests_per_second": round(len(outcomes) / seconds, 2),
        "pictures_per_second": round(drawn / seconds, 2),
        "admitted_failed": len(wrong),
        "failures": dict(Counter(f"{one.kind} {one.status} {one.detail}" for one in wrong).most_common(5)),
        "kinds": kinds,
    }
