"""How the API says that something went wrong: one JSON shape, one sentence."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modules.contracts.errors import NotSignedIn, OverLimit, StudioError

log = logging.getLogger(__name__)
RETRY_SECONDS = "5"


class Failure(BaseModel):
    """The body of an answer with a 4xx or 5xx status, in the shape that A1111's clients read."""

    error: str = Field(description="Stable name of the kind of error.")
    detail: str = Field(description="One sentence: what was given and what is allowed.")
    body: str = ""
    errors: str = ""


FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text}
    for status, text in (
        (404, "Something that was named is not here"),
        (503, "The studio is still starting"),
        (507, "Out of memory"),
    )
}
"""For `responses=` of routes that draw; 422 is described by FastAPI itself."""


def failure(status: int, kind: str, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer in the shape of `Failure`."""
    return JSONResponse(Failure(error=kind, detail=sentence).model_dump(), status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Map the studio's errors and FastAPI's complaints about a body to answers."""
    app.add_exception_handler(StudioError, _explain)
    app.add_exception_handler(RequestValidationError, _complain)


async def _explain(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StudioError)
    return failure(error.status, error.kind, error.message, _headers(error))


def _headers(error: StudioError) -> dict[str, str]:
    if isinstance(error, OverLimit):
        return {"Retry-After": str(math.ceil(error.retry_after))}
    if isinstance(error, NotSignedIn):
        return {"WWW-Authenticate": 'Basic realm="Atelier", charset="UTF-8"'}
    return {"Retry-After": RETRY_SECONDS} if error.status == 503 else {}


async def _complain(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's own shape, without the echo of the input: it may be megabytes of base64, or not be JSON at all."""
    assert isinstance(error, RequestValidationError)
    detail = [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in error.errors()]
    return JSONResponse({"detail": detail}, 422)


class Border:
    """ASGI middleware: what no handler foresaw becomes a 500 with an id that is in the log, and no stack trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except asyncio.CancelledError:
            # The server closes and waits no longer. The client is told; jobs go on at the next start.
            if scope["type"] == "http" and not started:
                sentence = "The studio is closing; a job that was under way goes on when it starts again."
                await failure(503, "not_ready", sentence, {"Retry-After": RETRY_SECONDS})(scope, receive, send)
            raise
        except Exception:  # border 'HTTP handler'
            if scope["type"] != "http" or started:
                raise
            number = uuid.uuid4().hex[:12]
            log.exception("request %s %s failed, id %s", scope["method"], scope["path"], number)
            sentence = f"Something went wrong inside the studio; the log says more under {number}."
            await failure(500, "internal_error", sentence)(scope, receive, send)
