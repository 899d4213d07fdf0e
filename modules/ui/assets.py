"""The page's own files in `javascript/`: which there are, and a mark that changes with them."""

from __future__ import annotations

import functools
import hashlib
import json

from modules.support.paths import ROOT

FOLDER = ROOT / "javascript"
LOCALES = ROOT / "configs" / "ui" / "locale"
"""Dictionaries of the page, a file for each language."""
KINDS = {
    "language.js": "text/javascript",
    "tools.js": "text/javascript",
    "sliders.js": "text/javascript",
    "rooms.js": "text/javascript",
    "keys.js": "text/javascript",
    "weights.js": "text/javascript",
    "history.js": "text/javascript",
    "notices.js": "text/javascript",
    "aids.css": "text/css",
    "control.js": "text/javascript",
    "archive.js": "text/javascript",
    "studio.js": "text/javascript",
    "verify.js": "text/javascript",
    "dropped.js": "text/javascript",
    "line.js": "text/javascript",
    "extensions.js": "text/javascript",
    "editing.js": "text/javascript",
    "edit-layers.js": "text/javascript",
    "edit-brush.js": "text/javascript",
    "edit-paint.js": "text/javascript",
    "edit-view.js": "text/javascript",
    "edit-draft.js": "text/javascript",
    "edit-compare.js": "text/javascript",
    "edit-tools.js": "text/javascript",
    "edit.js": "text/javascript",
    "edit.css": "text/css",
    "gallery.js": "text/javascript",
    "gallery-grid.js": "text/javascript",
    "gallery-viewer.js": "text/javascript",
    "gallery-compare.js": "text/javascript",
    "gallery.css": "text/css",
    "studio.css": "text/css",
    "roomkit.js": "text/javascript",
    "roomkit.css": "text/css",
    "queuerow.js": "text/javascript",
    "queue.js": "text/javascript",
    "queue.css": "text/css",
    "settings.js": "text/javascript",
    "settings.css": "text/css",
    "system-chart.js": "text/javascript",
    "system-log.js": "text/javascript",
    "system.js": "text/javascript",
    "system.css": "text/css",
    "logo.svg": "image/svg+xml",
}
"""Everything that is served from there, by name."""


def read_assets() -> dict[str, bytes]:
    """The files by name, and each dictionary as the script `words-LANGUAGE.js` that gives it to the page."""
    return {name: (FOLDER / name).read_bytes() for name in KINDS} | {
        f"words-{path.stem}.js": f"window.atelierLanguage.take({_script(path.read_text('utf-8'))});\n".encode()
        for path in sorted(LOCALES.glob("*.json"))
    }


def kind_of(name: str) -> str:
    """The media type of a file of `read_assets`."""
    return KINDS.get(name, "text/javascript")


def _script(text: str) -> str:
    """The JSON text, checked and without its spaces."""
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))


@functools.cache
def mark() -> str:
    """Changes whenever one of the files changes, so that browsers may keep what they have for ever."""
    digest = hashlib.sha256()
    for data in read_assets().values():
        digest.update(data)
    return digest.hexdigest()[:12]
