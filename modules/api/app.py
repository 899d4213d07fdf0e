"""Puts the API into the HTTP application."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from modules.api import (
    applications,
    carrying,
    catalogue,
    control,
    credits,  # noqa: A004 - a room of ours
    detailer,
    docs,
    events,
    experiments,
    extension_changes,
    extensions,
    extras,
    gallery,
    generation,
    health,
    inside,
    internal,
    job_control,
    jobs,
    leaving,
    legacy,
    lists,
    metrics,
    networks,
    openai,
    options,
    people,
    pictures,
    png_info,
    progress,
    prompts,
    recalling,
    scheduler,
    scheduler_book,
    scripts,
    session,
    settings,
    status,
    upkeep,
    verify,
)
from modules.api.auth import SignedIn
from modules.api.feed import Feed
from modules.api.guard import Guard, Neighbours
from modules.api.messages import EVERYWHERE, SIGNED, Border, add_error_handlers
from modules.api.metering import Metering
from modules.api.seal import Seal
from modules.api.services import Owner
from modules.api.socket_io import PLACES, SocketIO
from modules.api.turnstile import Turnstile
from modules.monitoring.meters import Meters
from modules.support.preferences import Preferences
from modules.support.studio import Studio

ROOMS = (
    *(generation, progress, options, lists, networks, prompts, png_info, extras, internal, legacy, scripts, openai),
    *(scheduler_book, scheduler, carrying),
    *(
        jobs,
        job_control,
        experiments,
        events,
        gallery,  # before the pictures, whose ids would stand for its words
        pictures,
        recalling,
        verify,
        people,
        credits,
        catalogue,
        settings,
        inside,
        control,
        detailer,
    ),
    extensions,
    extension_changes,
    docs,
)
"""Modules whose routes want to know who asks once there are accounts or `--api-auth`; `health` is open."""

WATCHED = (metrics, status, upkeep)
"""Modules for whoever looks after the studio; they are there without the API too, and want to know who asks as well."""


def add_api(app: FastAPI, studio: Studio) -> None:
    """Add routes, error handlers and middleware to `app`, which nobody has asked anything yet.

    Every route but `/healthz` and `/readyz` stands behind one dependency. The guard against foreign pages and large
    bodies stands before everything that the application answers, the page included.
    """
    network = studio.options.network
    app.state.studio = studio
    app.state.feed = Feed(studio.bus, studio.queue)
    app.state.meters = Meters(studio)
    app.state.preferences = Preferences(studio.settings, studio.accounts)
    app.root_path = app.root_path or network.subpath
    docs.take_over(app)
    add_error_handlers(app)
    app.include_router(health.router, responses=EVERYWHERE)
    app.include_router(session.router, responses=SIGNED)
    for room in WATCHED:
        app.include_router(room.router, dependencies=[Depends(SignedIn(studio.door))], responses=SIGNED)
    if network.api:
        rooms = (*ROOMS, leaving) if network.api_server_stop else ROOMS
        app.include_router(guarded(SignedIn(studio.door), rooms))
        live = SocketIO(studio, app.state.feed)
        for place in PLACES:
            app.mount(place, live)
        # Behind everything that is the studio's own, so that no extension takes an address from it.
        app.include_router(applications.router, dependencies=[Depends(SignedIn(studio.door))], responses=SIGNED)
    app.add_middleware(Guard, neighbours=Neighbours.of(network, studio.door))
    app.add_middleware(Border)
    app.add_middleware(Seal)
    app.add_middleware(Metering, meter=app.state.meters.requests)
    app.add_middleware(Turnstile)
    if network.cors_allow_origins:
        anybody = "*" in network.cors_allow_origins
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(network.cors_allow_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            allow_credentials=not anybody,
        )


def guarded(auth: SignedIn, rooms: Iterable[Any] = ROOMS) -> APIRouter:
    """All routes of the API behind one door."""
    root = APIRouter(dependencies=[Depends(auth)], responses=SIGNED)
    for room in rooms:
        root.include_router(room.router)
    root.add_api_route("/internal/ping", ping, methods=["GET"], tags=["health"])
    return root


def ping(owner: Owner) -> dict[str, str]:
    """Answers `{}` to whoever may ask."""
    return {}
