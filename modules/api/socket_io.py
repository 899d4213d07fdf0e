"""Socket.IO: what the WebSocket of events tells, for clients that speak that protocol; with IOPaint's two events.

Stands at `/ws/socket.io`, and at `/socket.io`, which is where IOPaint's own page looks. The library comes with the
extra `socketio` and is imported by the first client, because nothing else needs it.

Who may connect is asked before the library sees a request: the same proofs as everywhere, for every request of a
connection, and one that was opened by somebody else is refused. Where from is asked by `modules.api.guard`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import logging
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import HTTPConnection
from starlette.types import Message as ASGIMessage
from starlette.types import Receive, Scope, Send

from modules.api.auth import SignedIn, proof_of
from modules.api.feed import ENDS, MOST_READERS, Feed
from modules.api.fields import complaint_of
from modules.api.jobs import CLEAN
from modules.api.messages import local_path
from modules.api.watching import SEND_SECONDS, Message, Watch, follow, watch_for
from modules.contracts.accounts import Caller
from modules.contracts.errors import InvalidRequest, NotAllowed, OverLimit, StudioError, UnknownName, UnsupportedFeature
from modules.support.studio import Studio

LIBRARY = "socketio"
PLACES = ("/ws", "/socket.io")
"""Where it is mounted."""
BELOW = ("", "/socket.io")
"""What may be left of an address below that."""
LARGEST_MESSAGE = 4096
"""Bytes that a client may send at a time. Nothing that it says is for us but that it is still there."""
MOST_UNSENT = 64
"""Messages that wait for one client before it is given time to take them."""
LOOK_SECONDS = 0.05
WARNINGS = logging.getLogger("modules.api.socket_io.library")


class Wanted(BaseModel):
    """What a client wants to follow, in the query of its address; the same words as for the WebSocket."""

    model_config = ConfigDict(extra="ignore")
    job: str | None = Field(None, max_length=128, pattern=CLEAN)
    owner: str | None = Field(None, max_length=64, pattern=CLEAN)
    previews: bool = True
    after: str | None = Field(None, max_length=64, pattern=CLEAN)


class SocketIO:
    """An ASGI application for the addresses in `PLACES`. Whoever connects is told of their own jobs, or of one."""

    def __init__(self, studio: Studio, feed: Feed) -> None:
        self._studio = studio
        self._feed = feed
        self._door = SignedIn(studio.door)
        self._server: Any = None
        self._telling: dict[str, asyncio.Task[None]] = {}
        WARNINGS.setLevel(logging.WARNING)  # the library tells of every message, with what is in it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or WebSocket. Raises `StudioError` for what is refused."""
        connection = HTTPConnection(scope)
        caller = await self._door(connection)
        if local_path(scope).rstrip("/") not in BELOW:
            raise UnknownName("Socket.IO is at /ws/socket.io.")
        if self._server is None:
            if importlib.util.find_spec(LIBRARY) is None:
                raise UnsupportedFeature("Socket.IO is an extra: start once with --extra socketio to install it.")
            module = await asyncio.to_thread(importlib.import_module, LIBRARY)
            self._server = self._server or self._build(module)  # two may have come first
        self._check(connection, caller)
        first = await receive()
        if first["type"] not in ("http.request", "websocket.connect"):
            return  # the client has gone, for which the library is not prepared
        receive = _beginning_with(first, receive)
        if scope.get("method") != "POST":
            await self._server.handle_request(scope, receive, send)
            return
        try:
            # After a message that it cannot read the library waits until the client has taken all that was for it.
            async with asyncio.timeout(SEND_SECONDS):
                await self._server.handle_request(scope, receive, send)
        except TimeoutError as error:
            raise InvalidRequest("That is no message of Socket.IO; the connection is closed.") from error

    def _build(self, module: Any) -> Any:
        """The library's server. Origins are the guard's business: the library neither checks nor allows any."""

        class Words(module.packet.Packet):
            """Messages without attachments: the library would keep as many as a client announces."""

            def decode(self, encoded_packet: Any) -> int:
                count: int = super().decode(encoded_packet)
                if count:
                    raise ValueError("a client sends pictures; nothing is taken here")
                return count

        server = module.AsyncServer(
            serializer=Words,
            async_mode="asgi",
            cors_allowed_origins=[],
            max_http_buffer_size=LARGEST_MESSAGE,
            logger=WARNINGS,
            engineio_logger=WARNINGS,
        )
        refusal = module.exceptions.ConnectionRefusedError

        async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
            try:
                watch = await self._watch(HTTPConnection(environ["asgi.scope"]))
            except StudioError as error:
                raise refusal(error.message, {"error": error.kind}) from error
            self._telling[sid] = asyncio.create_task(self._tell(sid, watch))

        async def disconnect(sid: str, reason: str) -> None:
            task = self._telling.pop(sid, None)
            if task is not None and task is not asyncio.current_task():
                task.cancel()

        server.on("connect", connect)
        server.on("disconnect", disconnect)
        return server

    def _check(self, connection: HTTPConnection, caller: Caller) -> None:
        """Raises `NotAllowed` for a connection of somebody else's, `OverLimit` for one too many."""
        if "j" in connection.query_params:
            # Answers as scripts can be read by every page that a browser shows.
            raise InvalidRequest("JSONP is not spoken here; use polling or WebSocket.")
        length = connection.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_MESSAGE:
            raise InvalidRequest(f"A message has {length[:20]} bytes; at most {LARGEST_MESSAGE} are read here.")
        opened: dict[str, Any] = self._server.environ
        sid = connection.query_params.get("sid")
        if sid is None:
            names = [_caller_of(environ).name for environ in opened.values()]
            if names.count(caller.name) >= MOST_READERS:
                raise OverLimit(f"You follow events {MOST_READERS} times already; end one first.", retry_after=5)
        elif sid in opened and _caller_of(opened[sid]).name != caller.name:
            raise NotAllowed("That connection was opened by somebody else.")

    async def _watch(self, connection: HTTPConnection) -> Watch:
        try:
            wanted = Wanted.model_validate(dict(connection.query_params))
        except ValidationError as error:
            raise InvalidRequest(complaint_of(error)) from error
        caller: Caller = connection.state.caller
        self._feed.check_room(caller.name)
        return await asyncio.to_thread(
            watch_for,
            self._studio,
            caller,
            proof_of(connection),
            wanted.job,
            wanted.owner,
            wanted.previews,
            wanted.after,
        )

    async def _tell(self, sid: str, watch: Watch) -> None:
        """Tell one client everything until there is no more to tell, then hang up."""
        try:
            async with contextlib.aclosing(follow(self._studio, self._feed, watch)) as messages:
                async for message in messages:
                    if not await self._is_listening(sid):
                        break
                    await self._emit(sid, message)
        finally:
            if self._telling.pop(sid, None) is not None:
                await self._server.disconnect(sid)

    async def _emit(self, sid: str, message: Message) -> None:
        """Our event under its name, with the picture of a preview as bytes; and IOPaint's where it has one."""
        if message.name == "heartbeat":
            return
        body = {"id": message.id, **message.body}
        if message.look is not None:
            body["data"] = message.look.data
        await self._server.emit(message.name, body, to=sid)
        if message.name == "step":
            # IOPaint counts steps from 0.
            step = {"step": max(int(message.body["step"]) - 1, 0), "job_id": message.body["job_id"]}
            await self._server.emit("diffusion_progress", step, to=sid)
        elif message.name in ENDS:
            await self._server.emit("diffusion_finish", to=sid)

    async def _is_listening(self, sid: str) -> bool:
        """Wait until the client has taken most of what it was sent; False for one that takes nothing, or has gone.

        The library keeps what is not taken yet without a bound, and notices that a client is gone when it looks.
        """
        manager = self._server.manager
        for _ in range(round(SEND_SECONDS / LOOK_SECONDS)):
            socket = self._server.eio.sockets.get(manager.eio_sid_from_sid(sid, "/"))
            if socket is None or socket.closed or not await socket.check_ping_timeout():
                return False
            # What is sent before the library has said hello would be lost.
            if manager.is_connected(sid, "/") and socket.queue.qsize() < MOST_UNSENT:
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False


def _caller_of(environ: dict[str, Any]) -> Caller:
    caller: Caller = environ["asgi.scope"]["state"]["caller"]
    return caller


def _beginning_with(first: ASGIMessage, receive: Receive) -> Receive:
    """The same messages, the first of which has been taken already."""
    taken = [first]

    async def again() -> ASGIMessage:
        return taken.pop() if taken else await receive()

    return again
