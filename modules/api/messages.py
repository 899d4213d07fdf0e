"""How the API says that something went wrong: one JSON shape, one sentence."""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from modules.contracts.errors import NotSignedIn, OverLimit, StudioError

log = logging.getLogger(__name__)
RETRY_SECONDS = "5"
STRANGER = 4401
"""Close code of a WebSocket for whoever is not signed in (RFC 6455 leaves 4000 to 4999 to applications)."""
REFUSED = 1008
"""The same for everything else that is refused: "policy violation" in RFC 6455."""
REASON_LENGTH = 100
"""A close frame holds 123 bytes of reason; a sentence of ours may have letters of two."""


OPENAI = "/v1/"
OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
OPENAI_CODES = {
    "unknown_model": "model_not_found",
    "not_signed_in": "invalid_api_key",
    "over_limit": "rate_limit_exceeded",
}
"""Types and codes of OpenAI's errors, where they have one for the same thing."""


class Failure(BaseModel):
    """The body of an answer with a 4xx or 5xx status, in the shape that A1111's clients read."""

    error: str = Field(description="Stable name of the kind of error.")
    detail: str = Field(description="One sentence: what was given and what is allowed.")
    body: str = ""
    errors: str = ""


class Complaint(BaseModel):
    """What FastAPI says of a body or parameter of the wrong shape."""

    detail: list[dict[str, Any]] = Field(description="Where (`loc`), what (`msg`) and of which kind (`type`).")


class Plain(BaseModel):
    """What the framework says of an address or method that is not there."""

    detail: str


def told(description: str, *models: type[BaseModel]) -> dict[str, Any]:
    """What `responses=` says of a status whose JSON is one of the models; without a description HTTP's own words stand.

    The document alone needs it and finds each model by its name. Given as `model`, FastAPI would build a validator of
    it for every route and status, 1,300 of them, which is most of the time that an application takes to build.
    """
    named = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = named[0] if len(named) == 1 else {"anyOf": named}
    words = {"description": description} if description else {}
    return {**words, "content": {"application/json": {"schema": schema}}}


EVERYWHERE: dict[int | str, dict[str, Any]] = {
    422: told("A value cannot be used", Failure, Complaint),
    "default": told("Anything else that went wrong", Failure, Plain),
}
"""For every route: what any of them may answer."""
SIGNED: dict[int | str, dict[str, Any]] = {
    **EVERYWHERE,
    401: told("Nobody is signed in", Failure),
    403: told("The caller's role does not allow it, or it belongs to somebody else", Failure),
    429: told("Too much for now; Retry-After says for how long", Failure),
}
"""The same for every route that asks who calls, and for signing in."""
FAILURES: dict[int | str, dict[str, Any]] = {
    status: told(text, Failure)
    for status, text in (
        (404, "Something that was named is not here"),
        (503, "The studio is still starting"),
        (507, "Out of memory"),
    )
}
"""For `responses=` of routes that draw; 422 is described by FastAPI itself."""


REFUSED_FOR = "refused_for"
"""Under which a request's state tells why it was refused, for whoever counts."""


class Refusal(JSONResponse):
    """An answer that leaves its kind of error in the state of the request."""

    def __init__(self, kind: str, body: Any, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body, status, headers)
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})[REFUSED_FOR] = self._kind
        await super().__call__(scope, receive, send)


def failure(
    status: int, kind: str, sentence: str, headers: dict[str, str] | None = None, *, path: str = ""
) -> JSONResponse:
    """An answer in the shape of `Failure`; for a path below `/v1/` in OpenAI's, whose clients read nothing else."""
    if not path.startswith(OPENAI):
        return Refusal(kind, Failure(error=kind, detail=sentence).model_dump(), status, headers)
    family = "server_error" if status >= 500 else OPENAI_TYPES.get(status, "invalid_request_error")
    told = {"message": sentence, "type": family, "param": None, "code": OPENAI_CODES.get(kind, kind)}
    return Refusal(kind, {"error": told}, 400 if status == 422 else status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Map the studio's errors and FastAPI's complaints about a body to answers."""
    # Starlette calls handlers for WebSockets too, and knows two types of handlers but not one that is both.
    both: Any = _explain
    app.add_exception_handler(StudioError, both)
    app.add_exception_handler(RequestValidationError, _complain)


async def _explain(request: HTTPConnection, error: Exception) -> JSONResponse | None:
    assert isinstance(error, StudioError)
    if isinstance(request, WebSocket):
        await request.close(STRANGER if isinstance(error, NotSignedIn) else REFUSED, error.message[:REASON_LENGTH])
        return None
    path = local_path(request.scope)
    return failure(error.status, error.kind, error.message, _headers(error, request), path=path)


def _headers(error: StudioError, request: HTTPConnection) -> dict[str, str]:
    """A browser opens a window of its own where it is told of Basic, so a page's script is not told."""
    if isinstance(error, OverLimit):
        return {"Retry-After": str(math.ceil(error.retry_after))}
    if isinstance(error, NotSignedIn):
        if request.headers.get("sec-fetch-mode", "navigate") != "navigate":
            return {}
        return {"WWW-Authenticate": 'Basic realm="Atelier", charset="UTF-8"'}
    return {"Retry-After": RETRY_SECONDS} if error.status == 503 else {}


async def _complain(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's own shape, without the echo of the input: it may be megabytes of base64, or not be JSON at all."""
    assert isinstance(error, RequestValidationError)
    path = local_path(request.scope)
    if path.startswith(OPENAI):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return failure(400, "invalid_request", f"{place}: {first['msg']}.", path=path)
    detail = [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in error.errors()]
    return Refusal("invalid_body", {"detail": detail}, 422)


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
                told = failure(503, "not_ready", sentence, {"Retry-After": RETRY_SECONDS}, path=local_path(scope))
                await told(scope, receive, send)
            raise
        except Exception:  # border 'HTTP handler'
            if scope["type"] != "http" or started:
                raise
            number = uuid.uuid4().hex[:12]
            log.exception("request %s %s failed, id %s", scope["method"], scope["path"], number)
            sentence = f"Something went wrong inside the studio; the log says more under {number}."
            await failure(500, "internal_error", sentence, path=local_path(scope))(scope, receive, send)


def local_path(scope: Scope) -> str:
    """The path below the sub-path."""
    path: str = scope["path"]
    prefix = scope.get("root_path", "").rstrip("/")
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path
