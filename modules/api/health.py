"""Two questions of whoever looks after the server: is the process up, and can it draw?"""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from modules.api.services import Services
from modules.support.studio import Studio

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The state of the start."""

    status: str = "up"
    ready: bool = Field(description="A picture can be drawn now.")
    page: bool = Field(
        default=True, description="The application has taken over from the page that says what is loading."
    )
    phase: str
    message: str


def _state(studio: Studio) -> Health:
    status = studio.status
    trouble = status.trouble if status.ready else None
    message = trouble or status.message
    return Health(ready=status.ready and trouble is None, phase=status.phase, message=message)


@router.get("/healthz", response_model=Health)
async def healthz(studio: Services, response: Response) -> Health:
    """200 as long as the process answers."""
    response.headers["Cache-Control"] = "no-store"
    return _state(studio)


@router.get("/readyz", response_model=Health, responses={503: {"model": Health}})
async def readyz(studio: Services, response: Response) -> Health:
    """200 when a picture could be drawn lately, else 503 with what is being done or what went wrong.

    A tiny picture is drawn once the model stands, and again whenever a job failed in a way that may be the studio's
    fault; this tells what came of the last one. After such a failure the first picture that is done makes it 200 again.
    """
    response.headers["Cache-Control"] = "no-store"
    state = _state(studio)
    if not state.ready:
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return state
