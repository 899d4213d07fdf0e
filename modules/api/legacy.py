"""Routes of the old API whose rooms are not built yet: lists are empty, and work is refused with a reason.

Clients read these lists when they start and stop on a 404, so an honest empty list is what they need.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from modules.contracts.errors import UnsupportedFeature

router = APIRouter(tags=["not here yet"])

EMPTY_LISTS = (
    "hypernetworks",
    "realesrgan-models",
)
UNMADE = {
    "create/embedding": "Creating an embedding",
    "create/hypernetwork": "Creating a hypernetwork",
    "train/embedding": "Training an embedding",
    "train/hypernetwork": "Training a hypernetwork",
}


class CreateResponse(BaseModel):
    """What came of it, in words; the old API answers so whether it worked or not."""

    info: str


class InterrogateRequest(BaseModel):
    """A picture to be described."""

    model_config = ConfigDict(extra="ignore")
    image: str = Field("", description="In base64 or as a data URI.", examples=["iVBORw0KGgo="])
    model: str = Field("clip", max_length=200, examples=["clip"])


@router.post("/sdapi/v1/interrogate", status_code=422, response_model=None)
def interrogate(wanted: InterrogateRequest) -> None:
    """Describing a picture is not available in this version: answers 422."""
    raise UnsupportedFeature("Describing a picture is not available in this version.")


def _nothing() -> list[dict[str, Any]]:
    """Nothing of this kind yet."""
    return []


def _explaining(what: str) -> Any:
    def explain() -> CreateResponse:
        return CreateResponse(info=f"{what} is not available in this version; nothing was done.")

    explain.__doc__ = f"{what} is not available in this version: says so and does nothing."
    return explain


for name in EMPTY_LISTS:
    router.add_api_route(f"/sdapi/v1/{name}", _nothing, methods=["GET"], name=name)
for name, what in UNMADE.items():
    router.add_api_route(f"/sdapi/v1/{name}", _explaining(what), methods=["POST"], name=name)
