"""What A1111's page asks of the server itself: names of settings, how the start went, and a report for a question."""

from __future__ import annotations

import platform
from itertools import pairwise
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from modules.api.jobs import REFUSED
from modules.api.options import get_flags
from modules.api.services import Admin, Services

router = APIRouter(prefix="/internal", tags=["settings"])


class QuickSetting(BaseModel):
    """A setting that could stand at the top of a page."""

    name: str = Field(examples=["jpeg_quality"])
    label: str = Field(examples=["Quality of JPEG, WebP and AVIF"])


class StartProfile(BaseModel):
    """How the seconds of the start were spent."""

    total: float = Field(description="Until the latest phase began.", examples=[6.5])
    records: dict[str, float] = Field(description="Seconds in each phase.", examples=[{"libraries": 4.0, "model": 2.5}])


class SystemReport(BaseModel):
    """What whoever is to help has to know. Holds no folder, no password and no prompt."""

    platform: str = Field(examples=["Linux-6.1-x86_64"])
    python: str = Field(examples=["3.11.7"])
    versions: dict[str, str] = Field(examples=[{"atelier": "0.1.0", "torch": "2.15.0"}])
    state: str = Field(description="How far the start has come.", examples=["ready"])
    flags: dict[str, Any] = Field(description="As `/sdapi/v1/cmd-flags`.", examples=[{"api": True, "lanes": 8}])
    device: dict[str, Any] = Field(description="What hardware was chosen, and why.", examples=[{"device": "cpu"}])
    memory: dict[str, Any] = Field(description="In bytes.", examples=[{"ram": {"free": 1, "used": 2, "total": 3}}])
    settings: dict[str, Any] = Field(description="All but secrets.", examples=[{"jpeg_quality": 90}])


@router.get("/quicksettings-hint")
def quick_settings(studio: Services) -> list[QuickSetting]:
    """Keys and labels of all public settings."""
    shown = (item for item in studio.settings.declared() if item.scope != "secret")
    return [QuickSetting(name=item.key, label=item.label) for item in shown]


@router.get("/profile-startup")
def profile_startup(studio: Services) -> StartProfile:
    """How long the phases of the start took."""
    line = studio.status.timeline
    records = {phase: round(end - begin, 3) for (phase, begin), (_, end) in pairwise(line)}
    return StartProfile(total=round(line[-1][1], 3) if line else 0.0, records=records)


@router.get("/sysinfo", responses=REFUSED)
def system_report(studio: Services, admin: Admin) -> SystemReport:
    """What this installation is made of. For admins."""
    return SystemReport(
        platform=platform.platform(),
        python=platform.python_version(),
        versions=dict(studio.versions),
        state=studio.status.phase,
        flags=get_flags(studio),
        device=dict(studio.device_report()),
        memory=dict(studio.memory_report()),
        settings=dict(studio.settings.public()),
    )


@router.get("/sysinfo-download", responses=REFUSED)
def system_report_file(studio: Services, admin: Admin, answer: Response) -> SystemReport:
    """The same, for a browser to keep as a file."""
    answer.headers["Content-Disposition"] = 'attachment; filename="sysinfo.json"'
    return system_report(studio, admin)
