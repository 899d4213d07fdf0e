"""`/adetailer/v1/*`: what there is to find regions with, as clients of the ADetailer extension ask for it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from modules.api.details import FIELDS, ITEMS, SWITCHED, USUAL
from modules.api.fields import KINDS
from modules.api.services import Services

router = APIRouter(prefix="/adetailer/v1", tags=["control"])
VERSION = "25.3.0"
"""Of the extension whose fields these are."""
TYPES = {str: "string", bool: "boolean", float: "number"}


class DetailerVersion(BaseModel):
    """Whose fields are spoken here."""

    version: str = Field(examples=[VERSION])


class DetailerModels(BaseModel):
    """Detectors that can be used, after `None`."""

    ad_model: list[str] = Field(examples=[["None", "Colour", "Contrast", "Mask"]])
    missing: dict[str, str] = Field(
        description="Files that cannot be used, each with the reason.",
        examples=[{"face_yolov8n.pt": "face_yolov8n.pt is a pickled file, which could run any program when opened."}],
    )


@router.get("/version")
def detailer_version() -> DetailerVersion:
    """Version of the extension whose fields are understood."""
    return DetailerVersion(version=VERSION)


@router.get("/schema")
def detailer_schema() -> dict[str, Any]:
    """The fields of one detail as a JSON schema."""
    properties = {name: _property(own) for name, own in FIELDS.items()}
    for switch, names in SWITCHED.items():
        properties[switch] = {"type": "boolean", "default": False}
        properties |= {name: {**_property(own), "default": USUAL.get(own)} for name, own in names.items()}
    return {"title": "ADetailerArgs", "type": "object", "properties": properties, "additionalProperties": False}


@router.get("/ad_model")
def detailer_models(studio: Services) -> DetailerModels:
    """Detectors that details can name; looks at the folder again."""
    studio.detectors.refresh()
    entries = studio.detectors.entries()
    return DetailerModels(
        ad_model=["None", *(entry.name for entry in entries if entry.problem is None)],
        missing={entry.name: entry.problem for entry in entries if entry.problem is not None},
    )


def _property(name: str) -> dict[str, Any]:
    """What a field of a detail may be."""
    item = ITEMS[name]
    param = item.param
    kind = KINDS[item.annotation.removesuffix(" | None")]
    found: dict[str, Any] = {
        "title": param.label,
        "type": TYPES.get(kind, "integer"),
        "default": item.default,
        "minimum": param.minimum,
        "maximum": param.maximum,
        "enum": list(param.choices) if isinstance(param.choices, tuple) else None,
    }
    return {key: value for key, value in found.items() if value is not None}
