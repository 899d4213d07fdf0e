"""`/metrics`: the studio's figures for Prometheus."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from modules.api.services import Figures, Person, Services
from modules.bootstrap.options import is_loopback
from modules.contracts.accounts import Caller
from modules.contracts.errors import NotAllowed
from modules.monitoring.meters import CONTENT_TYPE
from modules.support.studio import Studio

router = APIRouter(tags=["health"])
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Text format 0.0.4"}
}


def check_reader(studio: Studio, person: Caller, address: str) -> None:
    """Raises `NotAllowed` unless that caller may read figures.

    They name nobody, so any token will do, such as one of an account made for a scraper; and while nobody has to sign
    in, whoever is on this machine.
    """
    if studio.door.open:
        if not is_loopback(address):
            raise NotAllowed("Figures are for this machine alone while there are no accounts.")
    elif not person.is_admin and person.means != "token":
        raise NotAllowed("Figures are for admins, and for programs with a token.")


@router.get("/metrics", response_class=Response, responses=TEXT)
def metrics(studio: Services, person: Person, figures: Figures, request: Request) -> Response:
    """Counters, histograms and gauges in Prometheus' text format. For admins and for tokens."""
    check_reader(studio, person, request.client.host if request.client else "")
    return Response(figures.render(), media_type=CONTENT_TYPE)
