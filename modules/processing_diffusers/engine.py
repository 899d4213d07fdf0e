"""The engine: implements `modules.contracts.run.Engine` over diffusers."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

from modules.bootstrap.options import Options
from modules.contracts.catalog import ModelEntry
from modules.contracts.errors import InvalidRequest, JobCancelled, StudioError, reason_of
from modules.contracts.plan import GenerationPlan, MemoryPlan
from modules.contracts.request import (
    CanvasParams,
    GenerationRequest,
    ModelParams,
    OutputParams,
    SamplingParams,
    SeedParams,
)
from modules.contracts.result import GenerationResult
from modules.contracts.run import RunContext
from modules.device.attention import AUTOMATIC, check_attention
from modules.device.select import DeviceChoice
from modules.memory.compiled import why_not
from modules.memory.cost import MODEL, SEQUENTIAL, TILING, Beside, ModelFacts
from modules.memory.films import Length, frames_in_hand, plan_film_memory
from modules.memory.guard import attempt
from modules.memory.measures import SharedMeasures, names_of
from modules.memory.planner import join_plans, plan_memory
from modules.processing_diffusers.batch import draw_batches
from modules.processing_diffusers.beside import count_beside
from modules.processing_diffusers.control_part import ControlShelf
from modules.processing_diffusers.detector_part import DetectorShelf
from modules.processing_diffusers.enlarging import Enlarger
from modules.processing_diffusers.face_part import FaceShelf
from modules.processing_diffusers.job import Job, Tools
from modules.processing_diffusers.lane_pipeline import lane_class
from modules.processing_diffusers.library_log import join_logs
from modules.processing_diffusers.model import DrawingModel
from modules.processing_diffusers.multiplexer.admission import Lane
from modules.processing_diffusers.multiplexer.core import Multiplexer
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.processing_diffusers.networks_part import NetworkShelf
from modules.processing_diffusers.plan import Surroundings, branch_rows, joined_rows, reference_rows, resolve_request
from modules.processing_diffusers.progress import Run, Strand
from modules.processing_diffusers.refiner_part import lease_refiner, name_apart, plan_both, prepare_refiner
from modules.processing_diffusers.restyling import restyle
from modules.processing_diffusers.stock import Stock
from modules.processing_diffusers.storehouse import Storehouse
from modules.processing_diffusers.summary import summarise
from modules.processing_diffusers.tiling import CircularPadding
from modules.processing_diffusers.upscaler_part import UpscalerShelf
from modules.processing_diffusers.workbench import set_up_pipeline
from modules.support.paths import Paths
from modules.support.settings import Settings

log = logging.getLogger(__name__)
VERSION = "0.1.0"
"""As infotext and recipes write it."""
TEST_SIDE = 64
"""Pixels of a test picture's sides; the least that a request may ask for."""
SMALL_MODEL = 100 << 20
"""Bytes below which a model is hashed before its first picture is finished."""
OWN = frozenset({"img2img_fix_steps", "enable_prompt_comments"})
"""Settings that a job may have of its own."""
OFFLOADING = frozenset({MODEL, SEQUENTIAL})
"""Measures under which a model that rests in main memory can compute."""
SMALL_WAIT, LARGE_WAIT = 60.0, 2.0
"""Seconds that a job's first finished picture waits for its model's hash, so that a stuck disk ends no lane."""


class DiffusersEngine:
    """Draws with diffusers. `generate` and `resolve` may be called from several threads at once."""

    def __init__(
        self,
        *,
        stock: Stock,
        choice: DeviceChoice,
        settings: Settings,
        paths: Paths,
        options: Options,
    ) -> None:
        """Loads nothing; raises `UnsupportedFeature` for an attention that the device does not offer."""
        self._stock, self._catalog, self._choice = stock, stock.catalog, choice
        self._settings, self._options, self._version = settings, options, VERSION
        self.networks = NetworkShelf(stock.networks, settings)
        self.controls = ControlShelf(stock.controls)
        self._threads = torch.get_num_threads()
        check_attention(options.device.attention or AUTOMATIC, choice.handler)
        join_logs()
        self.multiplexer = Multiplexer(
            window=lambda: float(settings["batch_window_ms"]) / 1000,
            is_out_of_memory=choice.handler.is_out_of_memory,
            release=choice.handler.empty_cache,
        )
        self.storehouse = Storehouse(choice, settings, paths, options.device.vram)
        self.upscalers = UpscalerShelf(choice, settings, options.device)
        detectors = DetectorShelf()
        self.faces = FaceShelf(choice, options.device, detectors)
        self._tools = Tools(self.upscalers, detectors, self.faces)
        self._enlarger = Enlarger(
            stock, settings, (self.upscalers, self.faces), self.multiplexer, choice.handler, VERSION, self._one_thread
        )
        self._measures = SharedMeasures()
        self._tiling = CircularPadding()

    def resolve(self, request: GenerationRequest) -> GenerationPlan:
        """The plan of a request that draws; nothing is loaded for it. Raises `StudioError` for what cannot be done."""
        if request.enlarge is not None:
            raise InvalidRequest("The request makes pictures larger; there is nothing to draw in it.")
        own = {key: value for key, value in request.own if key in OWN}  # a limit is nobody's own
        settings = {**self._settings.public(), **own}
        words = self._stock.prompts.sources(comments=bool(settings["enable_prompt_comments"]))
        stock = self._stock
        around = Surroundings(
            settings, stock.catalog, stock.samplers, words, stock.networks, stock.controls, stock.detectors
        )
        model = self._catalog.find_model(request.model.checkpoint)
        placement = self.storehouse.placement_of(model)
        memory = MemoryPlan(
            max_batch=int(around.settings["max_batch"]),
            attention=self._attention(),
            compiled=around.settings["torch_compile"] != "off",
        )
        return resolve_request(request, around, placement, memory)

    def foresee(self, request: GenerationRequest) -> int | None:
        """Bytes at the peak that a request is predicted to take; None where its model is not in memory to be asked.

        Networks and ControlNets are left out. Raises `StudioError` for what cannot be drawn; nothing is loaded.
        """
        plan = self.resolve(request)
        if not plan.drawn or str(plan.model.path) not in self.storehouse.resident():
            return None
        with self.storehouse.lease(plan.model, plan.family, lambda share, part: None) as model:
            return self._plan_memory(plan, model, Beside()).predicted_peak

    def _attention(self) -> str:
        """What the setting says, or else the start. Raises `UnsupportedFeature` when the device does not offer it."""
        chosen = str(self._settings["cross_attention_optimization"])
        if chosen == AUTOMATIC:
            chosen = self._options.device.attention or AUTOMATIC
        return check_attention(chosen, self._choice.handler)

    def generate(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Draw all pictures. What was finished before a cancellation is returned with `interrupted` set."""
        if request.enlarge is not None:
            return self._enlarger.generate(request, context)
        with contextlib.ExitStack() as stack:
            # Before anything else, so that jobs that began a moment ago know of this one.
            lane = stack.enter_context(self.multiplexer.lane())
            run = Run(self.resolve(request), context)
            return self._run(run, lane, stack)

    def _run(self, run: Run, lane: Lane, registered: contextlib.ExitStack) -> GenerationResult:
        """Draw what is planned; the lane is gone, by the end of `registered`, before pictures are handed out."""
        interrupted = False
        try:
            with registered, self._one_thread():
                if not run.plan.drawn:
                    restyle(run, self._version)
                else:
                    self._attempt(run, lane)
        except JobCancelled:
            interrupted = True
        except StudioError:
            raise
        except Exception as error:  # the border of a lane: whatever went wrong, the process goes on
            log.exception("a job failed")
            raise StudioError(f"Drawing failed with {type(error).__name__}: {reason_of(error)}.") from error
        finally:
            run.close()
        return GenerationResult(
            pictures=tuple(run.pictures),
            resolved=summarise(run.plan),
            notes=tuple(run.notes),
            seconds=run.elapsed,
            interrupted=interrupted,
        )

    def _attempt(self, run: Run, lane: Lane) -> None:
        """Draw, and where memory runs out once more with the next cheaper plan."""
        attempt(
            run.plan.memory,
            lambda memory: self._draw(run, memory, lane),
            self._choice.handler,
            run.note,
            used=lambda: run.plan.memory,
        )

    def _draw(self, run: Run, memory: MemoryPlan, lane: Lane) -> None:
        """One attempt at everything that is not finished yet, with the measures of `memory` or better-informed ones."""
        plan = run.plan

        def loading(share: float, part: str) -> None:
            run.loading(share)

        with contextlib.ExitStack() as stack:
            model = stack.enter_context(self.storehouse.lease(plan.model, plan.family, loading))
            model = stack.enter_context(self.storehouse.lease_reader(plan.text_encoder, model))
            controls = stack.enter_context(self.controls.lease(plan, model))
            refiner = stack.enter_context(lease_refiner(plan, self.storehouse, loading))
            networks = stack.enter_context(self.networks.lease(plan, model.fittings))
            beside = count_beside(plan, controls, networks, accelerator=self._choice.handler.accelerator)
            memory = self._fit(run, memory, model, refiner, beside)
            run.plan = plan = replace(plan, memory=memory)
            vae = stack.enter_context(self.storehouse.lease_vae(plan.vae, model))
            components = model.away_from_cpu({**model.loaded.components, "vae": vae.module}, self._choice)
            if refiner is not None:
                components |= name_apart(refiner.away_from_cpu(refiner.loaded.components, self._choice))
            stack.enter_context(self._measures.applied(names_of(memory), components, self._choice.handler))
            patches = (self._tiling,) if plan.request.canvas.tiling else ()
            port = Port(self.multiplexer, lane, memory.max_batch, patches)
            first_wait = SMALL_WAIT if plan.model.size_bytes < SMALL_MODEL else LARGE_WAIT
            waits, more_waits = (itertools.chain((first_wait,), itertools.repeat(0.0)) for _ in range(2))
            part = prepare_refiner(
                plan, refiner, self.networks, controls, port, lambda entry: self._catalog.wait(entry, next(more_waits))
            )
            job = Job(
                plan=plan,
                strand=Strand(run, 0),
                model=model,
                vae=vae,
                port=port,
                pipeline=set_up_pipeline(model, port, plan),
                settings={**self._settings.public(), **dict(plan.request.own)},
                tools=self._tools,
                networks=networks,
                controls=controls,
                identify=lambda: self._identify(run, next(waits)),
                refiner=stack.enter_context(part),
            )
            draw_batches(job, self._version, self._options.run.lanes, self._one_thread)

    def _fit(
        self, run: Run, memory: MemoryPlan, model: DrawingModel, refiner: DrawingModel | None, beside: Beside
    ) -> MemoryPlan:
        """`memory`, or measures from what the loaded models say of themselves; notes which of them rest."""
        plan, both = run.plan, [one for one in (model, refiner) if one is not None]
        rests = any(one.rests for one in both)
        if plan.memory.predicted_peak is None or (rests and not OFFLOADING.intersection(memory.measures)):
            # Nothing was known of the model until now, or it was loaded anew and rests where it did not before.

            def plan_one(plan: GenerationPlan, model: DrawingModel) -> MemoryPlan:
                return self._plan_memory(plan, model, beside)

            memory = plan_both(plan, model, refiner, plan_one, self._choice.handler.torch_device())
        if memory.compiled:
            device = str(self._choice.handler.torch_device())
            reasons = list(filter(None, (why_not(one.loaded.components[one.family.denoiser], device) for one in both)))
            for reason in reasons:
                run.note(reason)
            memory = replace(memory, compiled=len(reasons) < len(both))
        for one in both:
            if one.resting is not None and self._options.device.vram == "normal":
                run.note(one.resting)
        return memory

    def _identify(self, run: Run, seconds: float) -> ModelEntry:
        """The run's model with its hash, waiting up to `seconds` for it."""
        if run.plan.model.sha256 is None:
            run.plan = replace(run.plan, model=self._catalog.wait(run.plan.model, seconds))
        return run.plan.model

    def _plan_memory(self, plan: GenerationPlan, model: DrawingModel, beside: Beside) -> MemoryPlan:
        """Measures for the largest pass or encoding of the plan, from what the loaded model says of itself and from
        what stands beside it."""
        handler = self._choice.handler
        rows = 1 + int(model.adapter.is_guided(plan.first.cfg_scale)) + branch_rows(plan)
        facts = replace(
            model.facts,
            accelerator=handler.accelerator,
            quadratic=handler.attention_is_quadratic,
            max_rows=int(self._settings["max_batch"]),
            rows_per_picture=rows * (1 + reference_rows(plan)),
        )
        passes = (plan.first, plan.hires or plan.first, *(detail.paint for detail in plan.details))
        sizes = (*((item.width, item.height) for item in passes), *plan.encoded)
        free, vram = handler.memory().free, self._options.device.vram
        if model.rests and vram == "normal":
            vram = "medvram"
        if free is not None:
            # What is there of its weights now, and beside it, is not in the way: the plan counts them.
            free += model.bytes_on(handler.torch_device()) + beside.there
        weights = replace(model.bytes, beside=beside)
        pictures, joined = plan.request.canvas.batch_size, joined_rows(plan, facts.rows_per_picture)

        def fit(sizes: Iterable[tuple[int, int]], facts: ModelFacts) -> MemoryPlan:
            width, height = max(sizes, key=lambda size: size[0] * size[1])
            return plan_memory(weights, width, height, pictures, free, vram, facts, joined)

        if plan.film is not None:
            frames = plan.film.frames
            length = Length(plan.film.latent_frames, frames, frames_in_hand(model.vae.module, frames))
            whole = (plan.first.width, plan.first.height)
            found = plan_film_memory(lambda one, facts: fit([one], facts), plan.first.seen, whole, facts, length)
        elif all(item.tiles is None for item in passes):
            found = fit(sizes, facts)
        else:  # the denoiser sees a tile at a time, the VAE everything
            drawing, seeing = facts.apart
            found = join_plans(fit([item.seen for item in passes], drawing), fit(sizes, seeing))
        if plan.request.tiles.vae:
            found = join_plans(found, MemoryPlan((TILING,), None, found.max_batch))
        return replace(found, attention=plan.memory.attention, compiled=plan.memory.compiled)

    @contextlib.contextmanager
    def _one_thread(self) -> Iterator[None]:
        """Keep small tensor work of this lane out of a worker pool of its own; the executor has the only one."""
        torch.get_num_threads()  # settles the thread's own number before it is changed
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(self._threads)

    def warm_up(self) -> None:
        """Load the default model, so that the first picture does not wait for it."""
        begun = time.monotonic()
        entry = self._catalog.find_model(None)
        family = self._catalog.family(str(entry.family))
        with self.storehouse.lease(entry, family, lambda share, part: None) as model:
            lane_class(model.adapter.pipeline_name(family))
        log.info("%s stands after %.1f s", entry.name, time.monotonic() - begun)

    def attempt(self, cancelled: threading.Event) -> None:
        """Draw one tiny picture with the model that was used last, else with the default one, and drop it.

        Raises `StudioError` when that does not work. Ends early once `cancelled` is set.
        """
        resident = set(self.storehouse.resident()[-1:])
        used = [entry.name for entry in self._catalog.models() if str(entry.path) in resident and not entry.problem]
        request = GenerationRequest(
            canvas=CanvasParams(width=TEST_SIDE, height=TEST_SIDE),
            sampling=SamplingParams(steps=1),
            seeds=SeedParams(seed=0, subseed=0),
            model=ModelParams(checkpoint=used[0] if used else None),
            output=OutputParams(save=False),
        )
        result = self.generate(request, RunContext("test-picture", previews=False, cancelled=cancelled))
        if not result.pictures and not result.interrupted:
            raise StudioError("The engine gave no picture.")

    def unload(self) -> None:
        """Let go of all models; what a job uses goes when the job ends."""
        self.storehouse.empty()
        self.upscalers.empty()
        self.faces.empty()
        self._tools.detectors.empty()
        self.networks.empty()
        self.controls.empty()

    def stats(self) -> dict[str, Any]:
        """What the multiplexer did, which models are in memory (by path), and how often caches held what was sought."""
        caches = {name: tally.report() for name, tally in self.storehouse.tallies.items()}
        return {**self.multiplexer.stats(), "models": self.storehouse.resident(), "caches": caches}

    def close(self) -> None:
        """Release models, threads and device memory."""
        self.multiplexer.close()
        self.unload()
