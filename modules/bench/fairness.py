"""How evenly the lanes were divided among owners who asked unevenly."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from modules.bench.crowd import Outcome, percentile
from modules.bench.residents import bearer


def deal(clients: int, owners: Sequence[str]) -> tuple[str, ...]:
    """Whose each client is: the second owner has about twice as many as the first, the third three times, and so on.

    Everybody has one at least, as far as there are as many clients. Nobody's where there are no owners.
    """
    if not owners:
        return ()
    weights = range(1, len(owners) + 1)
    dealt = list(owners[:clients])
    while len(dealt) < clients:
        poorest = min(zip(owners, weights, strict=True), key=lambda pair: (dealt.count(pair[0]) + 1) / pair[1])
        dealt.append(poorest[0])
    return tuple(dealt)


def evenness(shares: Sequence[float]) -> float:
    """Jain's index: 1 where all are equal, 1/n where one has everything; 1 for nobody and for nothing.

    R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness and Discrimination for Resource Allocation in Shared
    Computer Systems", DEC-TR-301, 1984.
    """
    squares = len(shares) * sum(share**2 for share in shares)
    return sum(shares) ** 2 / squares if squares else 1.0


@dataclass(slots=True)
class Referee:
    """Reads what every owner has had of the lanes while all of them still ask."""

    url: str
    token: str
    """An admin's."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of lanes, by owner."""

    async def watch(self, seconds: float) -> None:
        """Return after that long, having looked."""
        await asyncio.sleep(seconds)
        async with httpx.AsyncClient(base_url=self.url, headers=bearer(self.token), timeout=60) as http:
            answer = await http.get("/api/v1/queue")
            answer.raise_for_status()
            self.seconds = {row["owner"]: row["used_seconds"] for row in answer.json()["shares"]}

    def report(self, dealt: Sequence[str], outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """Each owner's clients, lane seconds and waiting; and how even the lane seconds are."""
        owners: Mapping[str, Any] = {
            owner: {
                "clients": dealt.count(owner),
                "lane_seconds": round(self.seconds.get(owner, 0.0), 2),
                **_asked([one for one in outcomes if one.owner == owner]),
            }
            for owner in sorted(set(dealt))
        }
        had = [row["lane_seconds"] for row in owners.values()]
        return {
            "evenness": round(evenness(had), 4),
            "least_over_most": round(min(had) / max(had), 4) if max(had, default=0.0) else 1.0,
            "owners": dict(owners),
        }


def _asked(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    drawn = [one.seconds for one in outcomes if one.draws and not one.failed and not one.refused]
    return {
        "requests": len(outcomes),
        "refused": sum(one.refused for one in outcomes),
        "failed": sum(one.failed for one in outcomes),
        "pictures": len(drawn),
        "p50_seconds": round(percentile(drawn, 0.5), 3),
        "p95_seconds": round(percentile(drawn, 0.95), 3),
    }
