"""A studio without an engine room: the real queue, settings and bus, around an engine that paints with PIL."""

from __future__ import annotations

import dataclasses
import io
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

from modules.accounts.door import Door
from modules.accounts.service import StoredAccounts
from modules.bootstrap.options import Options
from modules.call_queue.database import open_database
from modules.call_queue.queue import CallQueue
from modules.call_queue.store import JobStore
from modules.contracts.catalog import (
    Family,
    FileEntry,
    ModelEntry,
    RestorerEntry,
    SamplerEntry,
    ScheduleEntry,
    UpscalerEntry,
)
from modules.contracts.enlarging import sizes_of
from modules.contracts.errors import InvalidRequest, JobCancelled, UnknownModel
from modules.contracts.events import ImageReady, Preview, StageStarted, StepDone
from modules.contracts.pictures import StoredPicture
from modules.contracts.plan import GenerationPlan
from modules.contracts.request import GenerationRequest, OutputParams
from modules.contracts.result import GenerationResult, Picture
from modules.contracts.run import RunContext
from modules.control.catalog import ControlCatalog
from modules.detectors.catalog import DetectorCatalog
from modules.experiments.marks import marks_of
from modules.experiments.service import ExperimentService
from modules.experiments.store import ExperimentStore
from modules.support.bus import EventBus
from modules.support.options import CORE_SETTINGS
from modules.support.paths import Paths
from modules.support.preferences import Preferences
from modules.support.settings import Settings
from modules.support.studio import Status, Studio

COLOURS = {"red": "#d0372f", "blue": "#2f5fd0", "green": "#2f9e57", "yellow": "#f0c530", "orange": "#e8832a",
           "purple": "#7d4bc4", "black": "#1b1b1b", "white": "#f7f6f2", "pink": "#ee8fb4"}  # fmt: skip


def family(id: str = "sd15", **facts: Any) -> Family:
    base: dict[str, Any] = {
        "label": "Stable Diffusion 1.5",
        "adapter": "sd",
        "pipelines": {"txt2img": "StableDiffusionPipeline"},
        "denoiser": "unet",
        "text_encoders": ("text_encoder",),
        "latent_channels": 4,
        "latent_factor": 8,
        "size_multiple": 8,
        "native_size": 512,
        "defaults": {"sampler": "DPM++ 2M", "scheduler": "Karras", "steps": 20, "cfg_scale": 7.0},
        "prediction": "epsilon",
        "capabilities": frozenset(
            {"negative_prompt", "clip_skip", "hires", "tiling", "control", "inpaint", "video"}
            | {"perturbed_attention", "skip_layers", "freeu", "fewer_tokens", "deep_shrink", "decoder_steps"}
        ),
    }
    return Family(id=id, **{**base, **facts})


class FakeCatalog:
    """Two usable models and a broken one."""

    def __init__(self) -> None:
        where = Path("nowhere")
        self.entries = (
            ModelEntry("pocket", where, "diffusers", "sd15", native_size=128, short_hash="1a2b3c4d5e"),
            ModelEntry("big", where, "single_file", "sdxl", native_size=1024),
            ModelEntry("torn", where, "single_file", None, native_size=512, problem="The file ends too early."),
        )
        self.refreshed = 0

    def models(self) -> tuple[ModelEntry, ...]:
        return self.entries

    def find_model(self, name: str | None) -> ModelEntry:
        for entry in self.entries:
            if name in (None, entry.name, entry.title):
                return entry
        raise UnknownModel(f"There is no model {name!r}; there are pocket and big.")

    def default_vae(self) -> None:
        return None

    def vaes(self) -> tuple[FileEntry, ...]:
        return ()

    def text_encoders(self) -> tuple[FileEntry, ...]:
        return (FileEntry("keen", Path("nowhere"), "text-encoders"),)

    def samplers(self) -> tuple[SamplerEntry, ...]:
        return tuple(SamplerEntry(name, (), flow=False) for name in ("DPM++ 2M", "Euler", "Euler a", "DDIM"))

    def schedulers(self) -> tuple[ScheduleEntry, ...]:
        rows = (("automatic", "Automatic"), ("karras", "Karras"), ("exponential", "Exponential"))
        return tuple(ScheduleEntry(name, label) for name, label in rows)

    def upscalers(self) -> tuple[UpscalerEntry, ...]:
        return (UpscalerEntry("Latent", latent=True), UpscalerEntry("Lanczos", latent=False))

    def restorers(self) -> tuple[RestorerEntry, ...]:
        return (RestorerEntry("faces", "gfpgan", Path("/models/GFPGAN/faces.safetensors")),)

    def families(self) -> tuple[Family, ...]:
        defaults = {"sampler": "Euler", "scheduler": "Automatic", "steps": 30, "cfg_scale": 5.0}
        return (family(), family("sdxl", native_size=1024, defaults=defaults))

    def family(self, id: str) -> Family:
        return {item.id: item for item in self.families()}[id]

    def refresh(self) -> None:
        self.refreshed += 1


class MemoryPictures:
    """A picture store in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredPicture] = {}
        self.files: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def save(
        self, picture: Picture, *, job_id: str, owner: str, output: OutputParams, own: Any = None
    ) -> StoredPicture:
        buffer = io.BytesIO()
        picture.image.save(buffer, "PNG")
        with self._lock:
            row = StoredPicture(
                id=f"{job_id}-{picture.index}",
                job_id=job_id,
                index=picture.index,
                owner=owner,
                created=datetime.now(UTC),
                width=picture.image.width,
                height=picture.image.height,
                media_type="image/png",
                infotext=picture.infotext,
                recipe=picture.recipe,
                name=f"{picture.seed}.png",
            )
            self.files[row.id] = buffer.getvalue()
            return self.rows.setdefault(row.id, row)

    def get(self, picture_id: str) -> StoredPicture | None:
        return self.rows.get(picture_id)

    def read(self, picture_id: str) -> bytes | None:
        return self.files.get(picture_id)

    def thumbnail(self, picture_id: str, side: int) -> bytes | None:
        if picture_id not in self.files:
            return None
        with Image.open(io.BytesIO(self.files[picture_id])) as image:
            image.thumbnail((side, side))
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "WEBP")
        return buffer.getvalue()

    def list(
        self, *, owner: str | None = None, job_id: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[StoredPicture]:
        with self._lock:
            rows = list(reversed(self.rows.values()))
        found = [row for row in rows if owner in (None, row.owner) and job_id in (None, row.job_id)]
        return found[offset : offset + limit]

    def count(self, *, owner: str | None = None, job_id: str | None = None) -> int:
        return len(self.list(owner=owner, job_id=job_id, limit=len(self.rows)))

    def delete(self, picture_id: str) -> bool:
        return self.rows.pop(picture_id, None) is not None


def paint(prompt: str, width: int, height: int, seed: int) -> Image.Image:
    """What the prompt says, roughly: the first colour as a figure on the last colour."""
    named = [COLOURS[word] for word in re.findall(r"[a-z]+", prompt.lower()) if word in COLOURS]
    figure, ground = (named[0], named[-1]) if len(named) > 1 else (named[0] if named else "#888888", "#f7f6f2")
    scale = 4
    image = Image.new("RGB", (width * scale, height * scale), ground)
    side = min(width, height) * scale
    radius = int(side * (0.22 + (seed % 7) * 0.015))
    x, y = width * scale // 2 + (seed % 11 - 5) * side // 80, height * scale // 2 + (seed % 5 - 2) * side // 50
    box = (x - radius, y - radius, x + radius, y + radius)
    draw = ImageDraw.Draw(image)
    if "square" in prompt:
        draw.rectangle(box, fill=figure)
    elif "triangle" in prompt:
        draw.regular_polygon((x, y, radius), 3, fill=figure)
    elif "star" in prompt:
        draw.regular_polygon((x, y, radius), 5, fill=figure)
    else:
        draw.ellipse(box, fill=figure)
    return image.resize((width, height), Image.Resampling.LANCZOS)


@dataclass
class FakeEngine:
    """Paints step by step. While `hold` is cleared it waits before step `hold_from` of each batch."""

    seconds_a_step: float = 0.0
    hold: threading.Event = field(default_factory=threading.Event)
    hold_from: int = 1
    requests: list[GenerationRequest] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.hold.set()

    def resolve(self, request: GenerationRequest) -> GenerationPlan:
        raise NotImplementedError

    def generate(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        self.requests.append(request)
        if request.enlarge is not None:
            return self._enlarge(request, context)
        if "impossible" in request.prompt.text:
            raise InvalidRequest("This model cannot draw the impossible; ask for something else.")
        pictures: list[Picture] = []
        try:
            for batch in range(request.canvas.batch_count):
                pictures += self._batch(request, context, batch, len(pictures))
        except JobCancelled:
            return GenerationResult(tuple(pictures), {}, interrupted=True)
        return GenerationResult(tuple(pictures), {}, notes=self.notes, seconds=1.0)

    def _enlarge(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        assert request.enlarge is not None
        context.emit(StageStarted(context.job_id, "enlarge"))
        context.emit(StepDone(context.job_id, 1, 4, 0, 1, 0.25))
        (size,) = sizes_of(request.enlarge)
        image = Image.open(io.BytesIO(request.enlarge.images[0])).resize(size.final)
        picture = Picture(0, image, 0, 0, "", "", request.enlarge.infotexts[0], {"mode": "enlarge"})
        context.finished(picture)
        context.emit(ImageReady(context.job_id, picture))
        return GenerationResult((picture,), {}, seconds=1.0)

    def _batch(self, request: GenerationRequest, context: RunContext, batch: int, first: int) -> list[Picture]:
        canvas, sampling, prompt = request.canvas, request.sampling, request.prompt.text
        width, height, seed = canvas.width or 128, canvas.height or 128, request.seeds.seed
        context.emit(StageStarted(context.job_id, "denoise", batch, canvas.batch_count))
        target = paint(prompt, width, height, seed + first)
        noise = Image.effect_noise((width, height), 90).convert("RGB")
        for step in range(1, sampling.steps + 1):
            context.check()
            if context.skipped.is_set():
                context.skipped.clear()
                return []
            self._rest(context, step)
            share = step / sampling.steps
            buffer = io.BytesIO()
            blurred = target.filter(ImageFilter.GaussianBlur((1 - share) * width / 12))
            Image.blend(noise, blurred, share**0.6).save(buffer, "JPEG")
            context.emit(Preview(context.job_id, step, buffer.getvalue()))
            whole = (batch + share) / canvas.batch_count
            left = (1 - whole) * sampling.steps * self.seconds_a_step
            context.emit(StepDone(context.job_id, step, sampling.steps, batch, canvas.batch_count, whole, left))
        done = []
        for index in range(first, first + canvas.batch_size):
            picture = self._picture(request, index, paint(prompt, width, height, seed + index))
            context.finished(picture)
            context.emit(ImageReady(context.job_id, picture))
            done.append(picture)
        return done

    def _rest(self, context: RunContext, step: int) -> None:
        context.cancelled.wait(self.seconds_a_step)
        while step >= self.hold_from and not self.hold.wait(0.05):
            context.check()

    def _picture(self, request: GenerationRequest, index: int, image: Image.Image) -> Picture:
        seed = request.seeds.seed + index
        negative = f"\nNegative prompt: {request.prompt.negative}" if request.prompt.negative else ""
        infotext = (
            f"{request.prompt.text}{negative}\nSteps: {request.sampling.steps}, "
            f"Sampler: {request.sampling.sampler or 'DPM++ 2M'}, Schedule type: Karras, "
            f"CFG scale: {request.sampling.cfg_scale or 7.0:g}, Seed: {seed}, Size: {image.width}x{image.height}, "
            "Model hash: 1a2b3c4d5e, Model: pocket, Version: atelier 0.1.0"
        )
        prompt, negative = request.prompt.text, request.prompt.negative
        recipe = {
            "format": 1, "mode": "txt2img", "model": {"name": "pocket"}, "vae": None, "seed": seed, "subseed": 0,
            "prompt": prompt, "negative_prompt": negative, "parameters": {"sampling.steps": request.sampling.steps},
            "first": {"sampler": {"sampler": "DPM++ 2M", "scheduler": "Karras"}, "cfg_scale": 7.0,
                      "width": image.width, "height": image.height},
        }  # fmt: skip
        return Picture(index, image, seed, 0, prompt, negative, infotext, recipe)

    def close(self) -> None:
        self.hold.set()


def nothing() -> Mapping[str, Any]:
    return {}


def fake_studio(folder: Path, engine: FakeEngine | None = None, *, ready: bool = True, lanes: int = 1,
                auth: tuple[tuple[str, str], ...] = ()) -> Studio:  # fmt: skip
    """A studio whose queue runs `engine`; call its `close` at the end."""
    engine = engine or FakeEngine()
    bus, status, pictures = EventBus(), Status(), MemoryPictures()
    database = open_database(folder / "jobs.sqlite3")

    def provide() -> FakeEngine:
        status.wait()
        return engine

    settings, accounts = Settings(CORE_SETTINGS, None), StoredAccounts(database)
    own = Preferences(settings, accounts).carried
    queue = CallQueue(provide, JobStore(database), bus, pictures, lanes=lanes, own=own)
    if ready:
        status.set("ready", "Ready")
    else:
        status.set("libraries", "Loading torch and diffusers")

    experiments = ExperimentService(
        ExperimentStore(database), queue, pictures, bus, marks_of(FakeCatalog(), lambda owner: {})
    )

    def close() -> None:
        status.set("ready", "Ready")
        engine.hold.set()
        experiments.stop()
        queue.stop(5)
        database.dispose()

    queue.start()
    options = Options()
    options = dataclasses.replace(options, network=dataclasses.replace(options.network, api_auth=auth))
    return Studio(
        options=options,
        paths=Paths(folder, folder / "models"),
        settings=settings,
        bus=bus,
        status=status,
        catalog=FakeCatalog(),
        queue=queue,
        pictures=pictures,
        experiments=experiments,
        controls=ControlCatalog(Paths(folder, folder / "models", folder)),
        detectors=DetectorCatalog(Paths(folder, folder / "models")),
        accounts=accounts,
        door=Door(accounts, auth),
        memory_report=nothing,
        device_report=nothing,
        unload_models=nothing,
        reload_model=nothing,
        close=close,
        start_engine=lambda: status.set("ready", "Ready"),
    )
