"""`options` and `cmd-flags`: the public settings under A1111's names, and the command line without what is nobody's."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel, BeforeValidator, ConfigDict

from modules.api.choices import settled
from modules.api.fields import sound_text
from modules.api.messages import FAILURES
from modules.api.services import Own, Owner, Person, Services
from modules.contracts.errors import StudioError
from modules.support.preferences import Preferences
from modules.support.studio import Studio

router = APIRouter(tags=["settings"])


class Options(BaseModel):
    """All public settings, flat. `sd_model_checkpoint` is the title of the model that is used now."""

    model_config = ConfigDict(extra="allow")
    sd_model_checkpoint: str = ""
    sd_checkpoint_hash: str = ""


@router.get("/sdapi/v1/options", response_model=Options)
def get_options(studio: Services, owner: Owner, preferences: Own) -> dict[str, Any]:
    """Every public setting, as it is for the caller. The whole object may be sent back."""
    title, sha256 = _current(studio, preferences, owner)
    return {**preferences.public(owner), "sd_model_checkpoint": title, "sd_checkpoint_hash": sha256}


@router.post("/sdapi/v1/options", responses=FAILURES)
def set_options(
    studio: Services,
    person: Person,
    preferences: Own,
    options: Annotated[dict[str, Any], Body(examples=[{"sd_model_checkpoint": "pocket"}]), BeforeValidator(sound_text)],
) -> None:
    """Change settings, all or none. Unknown keys are ignored, so that clients may send back what they once read.

    An admin's change is everybody's, anybody else's is for their own calls alone. A checkpoint may be named by title,
    name or hash; one that is not here answers 404 and changes nothing.
    """
    changes = {key: value for key, value in options.items() if key != "sd_model_checkpoint"}
    wanted = options.get("sd_model_checkpoint")
    if isinstance(wanted, str) and wanted and wanted != _current(studio, preferences, person.name)[0]:
        changes["sd_model_checkpoint"] = wanted
    preferences.change(person, settled(studio, changes))


def _current(studio: Studio, preferences: Preferences, owner: str) -> tuple[str, str]:
    """Title and SHA-256 of the model that a request without a name gets; what the settings say where there is none."""
    wanted = preferences.of(owner).get("sd_model_checkpoint") or None
    try:
        entry = studio.catalog.find_model(wanted)
    except StudioError:
        return str(wanted or studio.settings["sd_model_checkpoint"]), ""
    return entry.title, entry.sha256 or ""


@router.get("/sdapi/v1/cmd-flags")
def get_flags(studio: Services) -> dict[str, Any]:
    """The command line under A1111's names, without passwords and folders."""
    network, device, run = studio.options.network, studio.options.device, studio.options.run
    paths = studio.options.paths
    return {
        "api": network.api,
        "nowebui": not network.webui,
        "listen": network.host not in ("127.0.0.1", "localhost", "::1"),
        "port": network.port,
        "subpath": network.subpath,
        "cors_allow_origins": ",".join(network.cors_allow_origins) or None,
        "ckpt": _last_part(paths.checkpoint),
        "vae_path": _last_part(paths.vae),
        "use_cpu": sorted(device.use_cpu),
        "device_id": device.device_id,
        "no_half": device.no_half,
        "medvram": device.vram == "medvram",
        "lowvram": device.vram == "lowvram",
        "attention": device.attention,
        "xformers": device.attention == "xformers",
        "opt_sdp_attention": device.attention == "sdp",
        "opt_split_attention": device.attention == "sliced",
        "lanes": run.lanes,
        "offline": run.offline,
        "version": studio.versions.get("atelier"),
    }


def _last_part(name: str | None) -> str | None:
    return PurePath(name.replace("\\", "/")).name if name else None
