"""What the stages of one job share: its run, the leased model, the lane's pipeline and way to the multiplexer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modules.contracts.catalog import ModelEntry
from modules.contracts.plan import GenerationPlan
from modules.processing_diffusers.control_part import JobControls
from modules.processing_diffusers.detector_part import DetectorShelf
from modules.processing_diffusers.face_part import FaceShelf
from modules.processing_diffusers.model import DrawingModel
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.processing_diffusers.networks_part import JobNetworks
from modules.processing_diffusers.plan import joined_rows, reference_rows
from modules.processing_diffusers.progress import Run, Strand
from modules.processing_diffusers.refiner_part import RefinerPart
from modules.processing_diffusers.upscaler_part import UpscalerShelf
from modules.processing_diffusers.vae_part import VaePart


@dataclass(frozen=True, slots=True)
class Tools:
    """Networks that are leased for a moment, shared by all jobs."""

    upscalers: UpscalerShelf
    detectors: DetectorShelf
    faces: FaceShelf


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at a job, in one lane. Stages read it and never change it."""

    plan: GenerationPlan
    strand: Strand
    """The batch that this is about."""
    model: DrawingModel
    vae: VaePart
    """The model's own or the separate one that was asked for."""
    port: Port
    pipeline: Any
    """The lane's shallow pipeline."""
    settings: Mapping[str, Any]
    """A snapshot."""
    tools: Tools
    networks: JobNetworks
    controls: JobControls
    identify: Callable[[], ModelEntry]
    """The plan's model with its hash, which the first call may wait for; without one when that would take long."""

    refiner: RefinerPart | None = None
    """The model that takes over in mid-run."""

    @property
    def run(self) -> Run:
        """What all batches share."""
        return self.strand.run

    @property
    def refined(self) -> Job | None:
        """The same job as its refiner goes on with it; None without one."""
        part, plan = self.refiner, self.plan.refined
        if part is None or plan is None:
            return None
        return replace(self, plan=plan, model=part.model, pipeline=part.pipeline, networks=part.networks, refiner=None)

    @property
    def vae_port(self) -> Port:
        """The way to the VAE, where a sample is a whole picture and not one of its rows in the denoiser."""
        rows = self.model.facts.rows_per_picture
        return replace(self.port, limit=max(self.port.limit // rows, 1))

    @property
    def rows_per_batch(self) -> int:
        """Samples that a batch brings to the denoiser."""
        rows = self.model.facts.rows_per_picture * (1 + reference_rows(self.plan))
        return max(max(map(len, self.plan.batches)) * rows, joined_rows(self.plan, rows))
