"""Events of jobs as they happen: by Server-Sent Events (HTML Living Standard, section 9.2) and by WebSocket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Header, Query, Request, WebSocket, WebSocketDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from modules.api.auth import proof_of
from modules.api.jobs import CLEAN, REFUSED
from modules.api.messages import REFUSED as POLICY
from modules.api.services import Events, Person, Services
from modules.api.watching import SEND_SECONDS, Message, ended_before, follow, watch_for

router = APIRouter(prefix="/api/v1", tags=["events"])
LastId = Annotated[str | None, Header(max_length=64, description="Go on after that event.")]
WithPreviews = Annotated[bool, Query(description="Also send looks at unfinished pictures, as base64.")]
Whose = Annotated[str | None, Query(max_length=64, pattern=CLEAN, description="For admins: a name, or * for all.")]
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events until the job ends or the client goes.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": "event: step\ndata: {}\n\n"}},
    },
    204: {"description": "The job has ended, and the client knows it."},
    **REFUSED,
}
LENGTH = struct.Struct(">I")
"""A binary frame begins with the length of its JSON head."""


class EventStream(Response):
    """Sends messages as they come. Ends, and lets go of everything, when the client goes or takes too long."""

    media_type = "text/event-stream"

    def __init__(self, messages: AsyncGenerator[Message], patience: float = SEND_SECONDS) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._messages = messages
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until there is no more to say or nobody to say it to."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async def pump() -> None:
            async with contextlib.aclosing(self._messages) as messages:
                # Whoever takes nothing for so long is let go of; the connection is the server's to close.
                with contextlib.suppress(TimeoutError):
                    await self._write(send, "retry: 2000\n\n")
                    async for message in messages:
                        await self._write(send, frame_of(message))
                    await self._write(send, "", more=False)

        await run_until(pump, gone)

    async def _write(self, send: Send, text: str, *, more: bool = True) -> None:
        with anyio.fail_after(self._patience):
            await send({"type": "http.response.body", "body": text.encode("utf-8"), "more_body": more})


async def run_until(work: Callable[[], Awaitable[None]], gone: Callable[[], Awaitable[None]]) -> None:
    """Do the work, and stop it as soon as `gone` returns."""
    async with anyio.create_task_group() as group:

        async def look() -> None:
            await gone()
            group.cancel_scope.cancel()

        group.start_soon(look)
        await work()
        group.cancel_scope.cancel()


def frame_of(message: Message) -> str:
    """One event of the stream; a heartbeat is a comment, which readers skip."""
    if message.name == "heartbeat":
        return ": heartbeat\n\n"
    body = dict(message.body)
    if message.look is not None:
        body["data"] = base64.b64encode(message.look.data).decode("ascii")
    head = f"id: {message.id}\n" if message.id is not None else ""
    return f"{head}event: {message.name}\ndata: {json.dumps(body)}\n\n"


@router.get("/jobs/{job_id}/events", response_class=Response, responses=STREAM)
async def job_events(
    studio: Services,
    feed: Events,
    person: Person,
    request: Request,
    job_id: str,
    previews: WithPreviews = False,
    last_event_id: LastId = None,
) -> Response:
    """What happens to one job, as Server-Sent Events, until it ends.

    It begins with a `snapshot`, or after `Last-Event-ID`.
    """
    proof = proof_of(request)
    watch = await asyncio.to_thread(watch_for, studio, person, proof, job_id, None, previews, last_event_id)
    feed.check_room(person.name)
    if await asyncio.to_thread(ended_before, studio, feed, watch):
        return Response(status_code=204)
    return EventStream(follow(studio, feed, watch))


@router.get("/events", response_class=Response, responses={key: STREAM[key] for key in STREAM if key != 204})
async def all_events(
    studio: Services,
    feed: Events,
    person: Person,
    request: Request,
    owner: Whose = None,
    previews: WithPreviews = False,
    last_event_id: LastId = None,
) -> Response:
    """What happens to all of the caller's jobs, as Server-Sent Events."""
    watch = watch_for(studio, person, proof_of(request), None, owner, previews, last_event_id)
    feed.check_room(person.name)
    return EventStream(follow(studio, feed, watch))


@router.websocket("/ws")
async def socket_events(
    socket: WebSocket,
    studio: Services,
    feed: Events,
    person: Person,
    job: Annotated[str | None, Query(max_length=128)] = None,
    owner: Whose = None,
    previews: bool = True,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> None:
    """The same by WebSocket: events as JSON text, previews as binary frames.

    A binary frame is the length of its head as four bytes, big end first, the head as JSON, and the encoded picture.
    """
    watch = await asyncio.to_thread(watch_for, studio, person, proof_of(socket), job, owner, previews, after)
    feed.check_room(person.name)
    await socket.accept()

    async def gone() -> None:
        # What a client sends is not for us.
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    async def pump() -> None:
        # Nobody is there to be told that they are dropped, or that they went.
        with contextlib.suppress(TimeoutError, WebSocketDisconnect):
            await _tell_all(socket, follow(studio, feed, watch))

    await run_until(pump, gone)


async def _tell_all(socket: WebSocket, messages: AsyncGenerator[Message]) -> None:
    """Send until there is no more to say, then close. Raises `TimeoutError` when the client takes nothing."""
    reason = ""
    async with contextlib.aclosing(messages):
        async for message in messages:
            with anyio.fail_after(SEND_SECONDS):
                await _tell(socket, message)
            if message.name == "dropped":
                reason = str(message.body["reason"])
    with anyio.fail_after(SEND_SECONDS):
        await socket.close(POLICY if reason else 1000, reason)


async def _tell(socket: WebSocket, message: Message) -> None:
    head = json.dumps({"event": message.name, "id": message.id, **message.body})
    if message.look is None:
        await socket.send_text(head)
        return
    packed = head.encode("utf-8")
    await socket.send_bytes(LENGTH.pack(len(packed)) + packed + message.look.data)
