"""A page with the results of an experiment: one file that opens in any browser, with no server behind it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).with_name("assets")
_PLACES = re.compile(r"TITLE|/\*(?:STYLE|SCRIPT|DATA)\*/")


def make_page(title: str, axes: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]]) -> str:
    """The page. `axes` have a label and captions of values, `cells` a place, a state and, encoded as WebP, a picture.

    Words of people reach the page as data alone: nothing in them is markup.
    """
    told = [{**cell, "picture": _inline(cell["picture"])} for cell in cells]
    data = json.dumps({"title": title, "axes": list(axes), "cells": told}, separators=(",", ":"))
    parts = {
        "TITLE": escape(title),
        "/*STYLE*/": _asset("page.css"),
        "/*SCRIPT*/": _asset("page.js"),
        "/*DATA*/": data.replace("<", "\\u003c"),
    }
    return _PLACES.sub(lambda found: parts[found[0]], _asset("page.html"))


def _inline(data: bytes | None) -> str | None:
    return None if data is None else f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")
