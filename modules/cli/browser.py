"""Finds a Chromium for the browser tests, and installs Debian's where that can be done without asking anybody."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from modules.bootstrap import variables
from modules.cli import packages

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")

MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)

WINDOWS = ("Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe")

ADVICE = "install Chromium, Chrome or Edge; on Debian: apt-get install chromium"


def find() -> str | None:
    """The path of a Chromium, Chrome or Edge; None when there is none in the usual places."""
    on_path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if on_path:
        return on_path
    places: list[Path] = []
    if sys.platform == "darwin":
        places = [Path(place) for place in MAC]
    elif sys.platform == "win32":
        roots = [variables.snapshot().get(name) for name in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")]
        places = [Path(root, place) for root in roots if root for place in WINDOWS]
    return next((str(place) for place in places if place.exists()), None)


def ensure(say: Callable[[str], None]) -> str | None:
    """`find`, after installing the package `chromium` where this user may use apt-get; else None, with advice said."""
    found = find()
    if found:
        return found
    if packages.may_install():
        say("Installing chromium for the browser tests")
        packages.install("chromium")
        found = find()
    if not found:
        say(f"No browser was found, so the browser tests will be skipped; {ADVICE}.")
    return found
