"""`/controlnet/*`: the lists that clients of the ControlNet extension read first. There is no control yet, so all are
empty: a client finds nothing to offer, which is true, rather than an address that is missing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from modules.contracts.errors import UnsupportedFeature

router = APIRouter(prefix="/controlnet", tags=["not here yet"])


class ControlModels(BaseModel):
    """Names of control models."""

    model_list: list[str] = Field(default=[], examples=[[]])


class ControlModules(BaseModel):
    """Names of preprocessors, and the bounds of their parameters."""

    module_list: list[str] = Field(default=[], examples=[[]])
    module_detail: dict[str, Any] = Field(default={}, examples=[{}])


class ControlTypes(BaseModel):
    """Kinds of control, each with its preprocessors and models."""

    control_types: dict[str, Any] = Field(default={}, examples=[{}])


class ControlSettings(BaseModel):
    """How much of it there is."""

    control_net_unit_count: int = Field(default=0, description="Units that a request may hold.", examples=[0])


class DetectWanted(BaseModel):
    """Pictures to be prepared."""

    model_config = ConfigDict(extra="ignore")
    controlnet_module: str = Field("none", max_length=200, examples=["canny"])
    controlnet_input_images: list[str] = Field(
        [], max_length=64, description="In base64 or as data URIs.", examples=[["iVBORw0KGgo="]]
    )


@router.get("/model_list")
def model_list(update: Annotated[bool, Query(description="Look again.")] = True) -> ControlModels:
    """No control models yet."""
    return ControlModels()


@router.get("/module_list")
def module_list(alias_names: Annotated[bool, Query(description="Show other names.")] = False) -> ControlModules:
    """No preprocessors yet."""
    return ControlModules()


@router.get("/control_types")
def control_types() -> ControlTypes:
    """No kinds of control yet."""
    return ControlTypes()


@router.get("/settings")
def control_settings() -> ControlSettings:
    """How many units a request may hold: none yet."""
    return ControlSettings()


@router.post("/detect", status_code=422, response_model=None)
def detect(wanted: DetectWanted) -> None:
    """Preparing a picture for control is not available in this version: answers 422."""
    raise UnsupportedFeature(f"The preprocessor {wanted.controlnet_module[:64]!r} is not available in this version.")
