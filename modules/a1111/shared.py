"""A1111's `modules.shared`: options, the state of the job, the model, upscalers."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from modules.a1111.house import HOUSE, now
from modules.a1111.options import OptionInfo as OptionInfo
from modules.a1111.options import Options
from modules.a1111.options import options_section as options_section
from modules.contracts.errors import UnsupportedFeature

opts = Options()
cmd_opts = SimpleNamespace(
    **dict.fromkeys(("lowvram", "medvram", "medvram_sdxl", "share", "listen", "no_half", "nowebui"), False),
    **dict.fromkeys(("disable_safe_unpickle", "freeze_settings", "hide_ui_dir_config", "api_auth"), False),
    api=True,
    use_cpu=[],
)
parallel_processing_allowed = True


class State:
    """The job in which the script that asks takes part; of none outside of jobs."""

    skipped = False
    sampling_step = sampling_steps = job_no = 0
    job = textinfo = job_timestamp = ""

    @property
    def interrupted(self) -> bool:
        """Somebody wants the job to end."""
        job = now()
        return job is not None and job.context.cancelled

    @property
    def stopping_generation(self) -> bool:
        """As `interrupted`."""
        return self.interrupted

    @property
    def job_count(self) -> int:
        """How many drawings the script said that it would do; progress is shown by it."""
        job = now()
        return 0 if job is None else job.job_count

    @job_count.setter
    def job_count(self, value: int) -> None:
        job = now()
        if job is not None:
            job.job_count = int(value)

    def begin(self, job: str = "") -> None:
        """Jobs begin in the queue; nothing to do."""

    def end(self) -> None:
        """Jobs end in the queue; nothing to do."""

    def nextjob(self) -> None:
        """Drawings are counted by `process_images`; nothing to do."""

    def interrupt(self) -> None:
        """Raises `UnsupportedFeature`: jobs are ended by whoever asked for them."""
        raise UnsupportedFeature("state.interrupt: a job is ended by whoever asked for it, not by an extension.")

    def skip(self) -> None:
        """Raises `UnsupportedFeature`."""
        raise UnsupportedFeature("state.skip: a batch is skipped by whoever asked for the job, not by an extension.")

    def assign_current_image(self, image: Any) -> None:
        """Previews come from the engine; this one is not shown."""

    def set_current_image(self) -> None:
        """Previews come from the engine; nothing to do."""


state = State()


class Model:
    """Facts of the model that draws. Its weights are the engine's: every other attribute raises one sentence."""

    def __init__(self, name: str | None) -> None:
        entry = HOUSE.services.catalog.find_model(name)
        family = entry.family or ""
        self.is_sd1, self.is_sd2, self.is_sdxl = family == "sd15", family.startswith("sd2"), family.startswith("sdxl")
        self.is_sd3 = family.startswith("sd3")
        self.sd_model_hash = entry.short_hash or ""
        self.sd_checkpoint_info = SimpleNamespace(
            name=entry.name,
            name_for_extra=entry.name,
            model_name=entry.name,
            title=entry.title,
            hash=entry.short_hash or "",
            shorthash=entry.short_hash or "",
            sha256=entry.sha256,
            filename=str(entry.path),
        )

    def __getattr__(self, name: str) -> Any:
        """Raises `UnsupportedFeature`, but for Python's own questions."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnsupportedFeature(f"sd_model.{name}: the model's weights are the engine's and not an extension's.")


def model_facts(name: str | None) -> Model:
    """Of the model of that name, or of the one that the settings name."""
    return Model(name)


class Upscaler:
    """One of the studio's upscalers, with A1111's way to use it."""

    def __init__(self, name: str, scale: float, data_path: str | None) -> None:
        self.name, self.scale, self.data_path = name, scale, data_path
        self.scaler = self

    def upscale(self, image: Any, scale: float, selected_model: str | None = None) -> Any:
        """The PIL picture that much larger, drawn in the job's lane. Raises `UnsupportedFeature` outside of a job."""
        from modules.a1111.images import enlarged

        return enlarged(image, float(scale), self.name)


def __getattr__(name: str) -> Any:
    """`sd_model`, `sd_upscalers`, `device`: they are asked for when they are used."""
    if name == "sd_model":
        job = now()
        return model_facts(None if job is None else job.request.model.checkpoint)
    if name == "sd_upscalers":
        return list(_upscalers())
    if name == "device":
        from modules.a1111 import devices

        return devices.device
    raise AttributeError(f"modules.shared has no {name!r} here")


def _upscalers() -> Iterator[Upscaler]:
    for entry in HOUSE.services.catalog.upscalers():
        if not entry.latent and entry.problem is None:
            yield Upscaler(entry.name, entry.scale, None if entry.path is None else str(entry.path))
