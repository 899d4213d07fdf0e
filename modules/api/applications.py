"""Addresses that extensions answer at places of their own, as those written for A1111 do.

They stand behind the same door and guards as the rest of the API, come after everything that is the studio's own, and
guests have no part in them.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.routing import Match
from starlette.types import Scope

from modules.api.services import Member, Services
from modules.contracts.extending import WebCall

OF_THE_PAGE = (
    *("/gradio_api", "/static", "/assets", "/svelte", "/studio", "/config", "/theme.css", "/robots.txt"),
    *("/favicon.ico", "/manifest.json"),
)
"""Places that the page's own files are at, and all below them."""
LEFT_OUT = ("access-control-", "set-cookie", "content-length", "transfer-encoding", "connection")
"""Who may read answers, and who is signed in, is the studio's to say."""


class ApplicationRoute(APIRoute):
    """Is there for exactly those addresses that some extension answers."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """No match for anything else, so that others are asked."""
        found, child = super().matches(scope)
        if found is not Match.FULL:
            return Match.NONE, {}
        path = "/" + str(child["path_params"]["address"])
        if path == "/" or any(path == place or path.startswith(f"{place}/") for place in OF_THE_PAGE):
            return Match.NONE, {}
        if not scope["app"].state.studio.scripts.answers(scope["method"], path):
            return Match.NONE, {}
        return found, child


router = APIRouter(route_class=ApplicationRoute)


@router.api_route("/{address:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
async def ask_application(address: str, request: Request, studio: Services, caller: Member) -> Response:
    """What an extension answers there; cookies and passwords of whoever asks are not handed on to it."""
    headers = tuple((bytes(key), bytes(value)) for key, value in request.headers.raw)
    query: bytes = request.scope.get("query_string", b"")
    asked = WebCall(request.method, f"/{address}", query, headers, await request.body())
    told: Any = await run_in_threadpool(studio.scripts.serve, asked)
    answer = Response(told.body, told.status)
    kept = {key.decode("latin-1"): value.decode("latin-1") for key, value in told.headers}
    answer.headers.update({key: value for key, value in kept.items() if not key.startswith(LEFT_OUT)})
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
