"""A hub on loopback: the two addresses that a download needs, with ranges, tokens and broken connections."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40


def git_id(content: bytes) -> str:
    """The id that git gives to a file of that content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@dataclass
class FakeHub:
    """What the hub holds and how it misbehaves; changed by the tests, read by the server's threads."""

    files: dict[str, bytes] = field(default_factory=dict)
    token: str | None = None
    breaks: dict[str, list[int]] = field(default_factory=dict)
    """Per file, after how many bytes the next connections break."""
    ignores_ranges: bool = False
    damaged: set[str] = field(default_factory=set)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Files asked for, with the range."""
    endpoint: str = ""
    revisions: tuple[str, ...] = ("main", COMMIT)

    def info(self) -> dict:
        """The answer of the API about the repository."""
        siblings = []
        for name, content in self.files.items():
            row = {"rfilename": name, "size": len(content), "blobId": git_id(content)}
            if name.endswith((".safetensors", ".bin", ".ckpt")):
                row["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            siblings.append(row)
        return {"id": "owner/model", "modelId": "owner/model", "sha": COMMIT, "tags": [], "siblings": siblings}


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer the API and the files."""
        path = self.path.partition("?")[0]
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._fail(401, "RepoNotFound")
        elif found := re.fullmatch(r"/api/models/owner/model(?:/revision/(.+))?", path):
            if (found[1] or "main") in self.hub.revisions:
                self._send(json.dumps(self.hub.info()).encode(), "application/json")
            else:
                self._fail(404, "RevisionNotFound")
        elif (found := re.fullmatch(rf"/owner/model/resolve/{COMMIT}/(.+)", path)) and found[1] in self.hub.files:
            self._file(found[1])
        else:
            self._fail(404, "RepoNotFound" if path.startswith("/api/") else "EntryNotFound")

    def _file(self, name: str) -> None:
        content = self.hub.files[name]
        asked = self.headers.get("Range")
        self.hub.requests.append((name, asked))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and not self.hub.ignores_ranges else 0
        if name in self.hub.damaged:
            content = b"?" * len(content)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[start:]
        if self.hub.breaks.get(name):
            body = body[: self.hub.breaks[name].pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, code: int, error: str) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve the hub on a free port of loopback for the length of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
