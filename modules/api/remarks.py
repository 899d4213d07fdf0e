"""Sentences on what a body asked for and did not get, and how an answer carries them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modules.api.script_calls import is_ours, is_there
from modules.api.sd_upscale import is_sd_upscale
from modules.contracts.errors import InvalidRequest
from modules.contracts.scripts import Scripts

HEADER = "X-Atelier-Notes"
LENGTH = 1000
"""Characters of the header."""
MOST_COMMENTS = 100


def header_of(notes: Iterable[str]) -> dict[str, str]:
    """The header that carries notes, in ASCII; none where there are none."""
    text = " ".join(notes)[:LENGTH]
    return {HEADER: text.encode("unicode_escape").decode("ascii")} if text else {}


def refuse_absent(body: Mapping[str, Any], mode: str, scripts: Scripts) -> None:
    """Raise `InvalidRequest` for a script, or another helper, that would have had something to do and is not here."""
    name = body.get("script_name")
    word = name.strip() if isinstance(name, str) else ""
    there = word.casefold() in ("", "none") or (mode == "img2img" and is_sd_upscale(body))
    if not there and not is_there(scripts, word, mode, always_on=False):
        chosen = [one.title for one in scripts.offered(mode, always_on=False)]
        names = ", ".join(["X/Y/Z plot", *(["SD upscale"] if mode == "img2img" else []), *chosen])
        raise InvalidRequest(f"Script '{word:.100}' not found; for {mode} there are: {names}.")
    always = body.get("alwayson_scripts") or {}
    if not isinstance(always, Mapping):
        raise InvalidRequest("alwayson_scripts has to be an object of titles and arguments.")
    for title, entry in always.items():
        # None of the studio's own has a part in enlarging.
        if (mode != "enlarge" and is_ours(title)) or is_there(scripts, str(title), mode, always_on=True):
            continue
        arguments = entry.get("args") if isinstance(entry, Mapping) else entry
        if _wants(arguments):
            raise InvalidRequest(f"Script '{title:.100}' not found; there is no such always-on script.")


def _wants(arguments: Any) -> bool:
    """Whether arguments of an always-on script switch something on. Some clients always send such scripts, idle."""
    if isinstance(arguments, list):
        # The first argument of many scripts is their switch.
        return bool(arguments) and arguments[0] is not False and any(_wants(argument) for argument in arguments)
    if isinstance(arguments, Mapping):
        return bool(arguments) and arguments.get("enabled", True) is not False
    return bool(arguments)


def notes_of(body: Mapping[str, Any], mode: str) -> list[str]:
    """What of a body of the old API changes nothing, and the client's own comments, which A1111 shows with the result.

    Raises `InvalidRequest` for comments that are no words.
    """
    notes = comments_of(body.get("comments"))
    if mode == "txt2img" and body.get("firstpass_image") and not body.get("enable_hr"):
        notes.append("firstpass_image: it stands for the first of two passes; without enable_hr it changed nothing.")
    if mode == "img2img":
        if body.get("firstpass_image"):
            notes.append("firstpass_image: it is for txt2img; it changed nothing.")
        if body.get("latent_mask") and not body.get("mask"):
            notes.append("latent_mask: it goes with a mask; without one it changed nothing.")
    return notes


def comments_of(given: Any) -> list[str]:
    """The comments of a body: the keys of an object, as A1111 keeps them, a list of texts, or one text."""
    if not given:
        return []
    words = [given] if isinstance(given, str) else list(given) if isinstance(given, Mapping | list) else None
    if words is None or len(words) > MOST_COMMENTS or not all(isinstance(word, str) for word in words):
        raise InvalidRequest(f"comments has to be a text, a list of up to {MOST_COMMENTS} texts, or an object of them.")
    return words
