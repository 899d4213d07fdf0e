"""What there is to choose from: the catalogue in A1111's words. Rows name files, never folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from modules.api.messages import FAILURES
from modules.api.services import Admin, Member, Person, Services

router = APIRouter(tags=["catalogue"])


class _Row(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class SDModelItem(_Row):
    """A checkpoint. `title` is what `sd_model_checkpoint` takes; the name alone is taken as well."""

    title: str
    model_name: str
    name: str
    hash: str | None = None
    sha256: str | None = None
    filename: str
    config: str | None = None
    family: str | None = None


class ExtensionItem(_Row):
    """An extension. What is not known of where it came from is empty."""

    name: str
    remote: str = ""
    branch: str = ""
    commit_hash: str = ""
    version: str = ""
    commit_date: int = 0
    enabled: bool


class SDVaeItem(_Row):
    """A separate VAE."""

    model_name: str
    name: str
    filename: str


class SamplerItem(_Row):
    """A sampler."""

    name: str
    aliases: list[str]
    options: dict[str, Any]


class SchedulerItem(_Row):
    """A sigma schedule."""

    name: str
    label: str
    aliases: list[str] | None = None
    default_rho: float | None = None
    need_inner_model: bool | None = None


class UpscalerItem(_Row):
    """A picture upscaler."""

    name: str
    model_name: str | None = None
    model_path: str | None = None
    model_url: str | None = None
    scale: float | None = None


class FaceRestorerItem(_Row):
    """A restorer of faces."""

    name: str
    cmd_dir: str | None = None


class LatentUpscalerModeItem(_Row):
    """A way to enlarge latents."""

    name: str


class MemoryResponse(_Row):
    """Memory of the machine and of its accelerator, in bytes."""

    ram: dict[str, Any]
    cuda: dict[str, Any]


@router.get("/sdapi/v1/sd-models", response_model=list[SDModelItem])
def sd_models(studio: Services) -> list[SDModelItem]:
    """Checkpoints that can be used."""
    return [
        SDModelItem(
            title=entry.title,
            model_name=entry.name,
            name=entry.name,
            hash=entry.short_hash,
            sha256=entry.sha256,
            filename=entry.path.name,
            family=entry.family,
        )
        for entry in studio.catalog.models()
        if entry.problem is None
    ]


@router.get("/sdapi/v1/sd-vae", response_model=list[SDVaeItem])
def sd_vae(studio: Services) -> list[SDVaeItem]:
    """Separate VAEs that can be used."""
    usable = (entry for entry in studio.catalog.vaes() if entry.problem is None)
    return [SDVaeItem(model_name=entry.name, name=entry.name, filename=entry.path.name) for entry in usable]


@router.get("/sdapi/v1/sd-modules", response_model=list[SDVaeItem])
def sd_modules(studio: Services) -> list[SDVaeItem]:
    """Separate VAEs and text encoders that can be used, under Forge's name."""
    readers = (entry for entry in studio.catalog.text_encoders() if entry.problem is None)
    return [
        *sd_vae(studio),
        *(SDVaeItem(model_name=one.name, name=one.name, filename=one.path.name) for one in readers),
    ]


@router.get("/sdapi/v1/samplers", response_model=list[SamplerItem])
def samplers(studio: Services) -> list[SamplerItem]:
    """Samplers in display order."""
    return [
        SamplerItem(name=entry.name, aliases=list(entry.aliases), options=_plain(entry.options))
        for entry in studio.catalog.samplers()
    ]


@router.get("/sdapi/v1/schedulers", response_model=list[SchedulerItem])
def schedulers(studio: Services) -> list[SchedulerItem]:
    """Sigma schedules in display order."""
    return [
        SchedulerItem(
            name=entry.name,
            label=entry.label,
            aliases=list(entry.aliases) or None,
            default_rho=entry.default_rho,
            need_inner_model=entry.need_inner_model,
        )
        for entry in studio.catalog.schedulers()
    ]


@router.get("/sdapi/v1/upscalers", response_model=list[UpscalerItem])
def upscalers(studio: Services) -> list[UpscalerItem]:
    """Picture upscalers, `None` first."""
    rows = [
        UpscalerItem(name=entry.name, model_name=entry.path.name if entry.path else None, scale=entry.scale)
        for entry in studio.catalog.upscalers()
        if not entry.latent and entry.name != "None" and entry.problem is None
    ]
    return [UpscalerItem(name="None", scale=4.0), *rows]


@router.get("/sdapi/v1/face-restorers", response_model=list[FaceRestorerItem])
def face_restorers(studio: Services) -> list[FaceRestorerItem]:
    """Restorers of faces that can be used."""
    return [FaceRestorerItem(name=entry.name) for entry in studio.catalog.restorers() if entry.problem is None]


@router.get("/sdapi/v1/extensions", response_model=list[ExtensionItem])
def extensions(studio: Services, caller: Person) -> list[ExtensionItem]:
    """Extensions and whether they are on; for admins also where they came from."""
    brought = {one.name: one for one in studio.installer.installed()} if caller.is_admin else {}
    rows = []
    for entry in studio.scripts.entries():
        one = brought.get(entry.name)
        origin: dict[str, Any] = (
            {} if one is None else {"remote": one.address, "commit_hash": one.commit, "version": one.commit[:8]}
        )
        rows.append(ExtensionItem(name=entry.name, enabled=entry.state == "on", **origin))
    return rows


@router.get("/sdapi/v1/latent-upscale-modes", response_model=list[LatentUpscalerModeItem])
def latent_upscale_modes(studio: Services) -> list[LatentUpscalerModeItem]:
    """Ways to enlarge latents in the hires pass."""
    return [LatentUpscalerModeItem(name=entry.name) for entry in studio.catalog.upscalers() if entry.latent]


@router.get("/sdapi/v1/memory", response_model=MemoryResponse)
def memory(studio: Services) -> Mapping[str, Any]:
    """Memory in use and free."""
    return studio.memory_report()


@router.post("/sdapi/v1/unload-checkpoint")
def unload_checkpoint(studio: Services, admin: Admin) -> dict[str, Any]:
    """Free the memory of all models. One that a job draws with goes when the job ends; the next job loads anew.

    For admins: it makes others wait.
    """
    studio.unload_models()
    return {}


@router.post("/sdapi/v1/reload-checkpoint", responses=FAILURES)
def reload_checkpoint(studio: Services, admin: Admin) -> dict[str, Any]:
    """Load the current model now rather than with the next picture; answers once it stands."""
    studio.reload_model()
    return {}


@router.post("/sdapi/v1/refresh-checkpoints", responses=FAILURES)
@router.post("/sdapi/v1/refresh-vae", responses=FAILURES)
@router.post("/sdapi/v1/refresh-vaes", responses=FAILURES)
@router.post("/sdapi/v1/refresh-loras", responses=FAILURES)
@router.post("/sdapi/v1/refresh-embeddings", responses=FAILURES)
def refresh(studio: Services, member: Member) -> None:
    """Look at the model folders again, at most every two seconds. Running jobs are not touched.

    Not for guests: what is found is everybody's list, and looking works the disk.
    """
    studio.catalog.refresh()
    studio.networks.refresh()


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value if isinstance(value, str | bool) else str(value) for key, value in options.items()}
