"""`server-stop`, `server-kill` and `server-restart`, which are there with `--api-server-stop` only, and for admins."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import PlainTextResponse

from modules.api.jobs import REFUSED
from modules.api.services import Admin, Services

router = APIRouter(prefix="/sdapi/v1", tags=["server"])


@router.post("/server-stop", response_class=PlainTextResponse, responses=REFUSED)
def server_stop(studio: Services, admin: Admin) -> PlainTextResponse:
    """End the server. Jobs that run go back into the queue and go on with the next start."""
    studio.leaving.leave()
    return PlainTextResponse("Stopping.")


@router.post("/server-kill", response_class=PlainTextResponse, responses=REFUSED)
def server_kill(studio: Services, admin: Admin) -> PlainTextResponse:
    """The same: no job is worth losing for a moment less."""
    return server_stop(studio, admin)


@router.post("/server-restart", response_class=PlainTextResponse, responses={**REFUSED, 501: {"description": "Alone"}})
def server_restart(studio: Services, admin: Admin) -> PlainTextResponse:
    """End the server and have it started again. 501 when it runs without `launch.py`, which would do that."""
    if not studio.leaving.restarts:
        raise HTTPException(501, "The server was started without launch.py; nobody would start it again.")
    studio.leaving.leave(again=True)
    return PlainTextResponse("Restarting.")
