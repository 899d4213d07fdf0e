"""Infotext in one place: the format, what a plan says in it, and the way back to a request."""

from __future__ import annotations

from modules.contracts.infotext_fields import fields_of, infotext_of
from modules.contracts.infotext_format import exact_prompts, parse, prompts_of, quote, text_of, unquote, write
from modules.contracts.infotext_recall import carried, to_request

__all__ = [
    "carried",
    "exact_prompts",
    "fields_of",
    "infotext_of",
    "parse",
    "prompts_of",
    "quote",
    "text_of",
    "to_request",
    "unquote",
    "write",
]
