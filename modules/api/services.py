"""What a route may ask for: the studio's services and who is calling.

All of it is at hand, so these are coroutines: FastAPI sends a plain function to a thread, and every request, the probes
included, would wait for one to be free.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from modules.api.feed import Feed
from modules.contracts.accounts import NOT_FOR_GUESTS, Caller
from modules.contracts.errors import NotAllowed
from modules.monitoring.meters import Meters
from modules.support.preferences import Preferences
from modules.support.studio import Studio


async def studio_of(request: HTTPConnection) -> Studio:
    """The bundle of services that `add_api` put into the application."""
    studio: Studio = request.app.state.studio
    return studio


async def owner_of(request: HTTPConnection) -> str:
    """Who calls, as found by `modules.api.auth`."""
    owner: str = request.state.owner
    return owner


async def caller_of(request: HTTPConnection) -> Caller:
    """Who calls, with their role."""
    caller: Caller = request.state.caller
    return caller


async def admin_of(request: HTTPConnection) -> Caller:
    """Who calls. Raises `NotAllowed` unless they are an admin."""
    caller: Caller = request.state.caller
    if not caller.is_admin:
        raise NotAllowed("Only an admin may do that.")
    return caller


async def member_of(request: HTTPConnection) -> Caller:
    """Who calls. Raises `NotAllowed` for a guest."""
    caller: Caller = request.state.caller
    if caller.is_guest:
        raise NotAllowed(NOT_FOR_GUESTS)
    return caller


async def feed_of(request: HTTPConnection) -> Feed:
    """The list of what has happened lately."""
    feed: Feed = request.app.state.feed
    return feed


def preferences_of(request: HTTPConnection) -> Preferences:
    """What people have set for themselves."""
    preferences: Preferences = request.app.state.preferences
    return preferences


async def meters_of(request: HTTPConnection) -> Meters:
    """The figures of the studio."""
    meters: Meters = request.app.state.meters
    return meters


async def own_preferences(request: HTTPConnection) -> Preferences:
    """The same as a dependency."""
    return preferences_of(request)


Services = Annotated[Studio, Depends(studio_of)]
Owner = Annotated[str, Depends(owner_of)]
Person = Annotated[Caller, Depends(caller_of)]
Member = Annotated[Caller, Depends(member_of)]
Admin = Annotated[Caller, Depends(admin_of)]
Events = Annotated[Feed, Depends(feed_of)]
Figures = Annotated[Meters, Depends(meters_of)]
Own = Annotated[Preferences, Depends(own_preferences)]
