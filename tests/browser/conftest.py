"""A browser and a page to drive: Debian's chromium through playwright, against a server of this very process tree."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / ".build" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1440, "height": 900}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
PATIENCE = 90_000
"""Milliseconds: other work shares the machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for a file of tests; skips where none is installed.

    No longer than that: while playwright runs, this thread has a running event loop, and `asyncio.run` of other tests
    would fail.
    """
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser found; one of {', '.join(NAMES)} is needed on the PATH")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@dataclass
class Visit:
    """A page under watch: what it complained about, and whom it asked."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def strangers(self) -> list[str]:
        """Addresses outside this machine that were asked for."""
        local = ("http://127.0.0.1:", "data:", "blob:", "about:")
        return [address for address in self.asked if not address.startswith(local)]

    def shoot(self, name: str, **options: Any) -> None:
        """Keep a screenshot for people to look at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", animations="disabled", **options)

    def write(self, prompt: str) -> None:
        self.page.fill("#txt2img_prompt textarea", prompt)

    def generate(self) -> None:
        self.page.click("#txt2img_generate")

    def wait(self, expression: str) -> None:
        """Until the JavaScript expression is true in the page."""
        self.page.wait_for_function(expression, timeout=PATIENCE)

    def thumbs(self) -> int:
        return int(self.page.locator(".thumb").count())


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Open a page at an address; every context is closed at the end."""
    contexts = []

    def open_page(address: str, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": DESKTOP, "color_scheme": "light", **options})
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        seen = Visit(context.new_page())
        watch(seen)
        seen.page.goto(address)
        return seen

    yield open_page
    for context in contexts:
        context.close()


def watch(seen: Visit) -> None:
    """Note errors of the console, exceptions, answers from 400 on, and every address asked for."""
    seen.page.on("console", lambda said: seen.complaints.append(said.text) if said.type == "error" else None)
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("request", lambda request: seen.asked.append(request.url))
    seen.page.on(
        "response",
        lambda answer: seen.complaints.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None,
    )


@contextmanager
def serving(application: Any) -> Iterator[str]:
    """Run the ASGI application on a free port of this machine; yields its address."""
    import uvicorn

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(application, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the server ended before it answered"
        assert time.monotonic() < deadline, "the server did not come up"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="session", autouse=True)
def quiet_threads() -> None:
    """One thread each for libraries: a spinning barrier on a shared machine costs more than it gains."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
