"""Finished pictures made larger: by an upscaler, or by two of which the second shows through, then cut to size.

Their faces are restored before or after that where somebody wishes it.

A job like any other: in a lane, through the multiplexer, cancelled between tiles, one recipe for each picture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from modules.contracts.catalog import UpscalerEntry
from modules.contracts.enlarging import Size, plan_enlarged, sizes_of
from modules.contracts.errors import InvalidRequest, JobCancelled, OutOfMemory, UnsupportedFeature
from modules.contracts.events import ImageReady, StageStarted
from modules.contracts.plan import EnlargePlan
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult, Picture
from modules.contracts.run import RunContext
from modules.contracts.validation import validate
from modules.device.base import DeviceHandler
from modules.memory.guard import is_out_of_memory, recover
from modules.processing_diffusers.enlarging_progress import Course, PictureSkipped
from modules.processing_diffusers.enlarging_recipe import Circumstances, finish_enlarged, summarise_enlarged
from modules.processing_diffusers.face_part import Faces, FaceShelf
from modules.processing_diffusers.face_plan import plan_faces
from modules.processing_diffusers.multiplexer.core import Multiplexer
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.processing_diffusers.scripting import change_enlarged
from modules.processing_diffusers.sheets import Sheet, open_sheet
from modules.processing_diffusers.sizes import check_enlarged
from modules.processing_diffusers.stock import Stock
from modules.processing_diffusers.upscaler_part import UpscalerPart, UpscalerShelf
from modules.support.settings import Settings
from modules.upscalers.spandrel_model import check_upscaler
from modules.upscalers.table import find_upscaler

ADVICE = "Make the picture smaller first, set a smaller tile for upscalers, or send them to the CPU."


@dataclass(frozen=True, slots=True)
class Means:
    """One of the upscalers of a job, ready to work."""

    entry: UpscalerEntry
    share: float
    """How much of it shows."""
    network: UpscalerPart | None
    """None is interpolation."""

    def calls(self, size: Size, wanted: Size) -> int:
        """Units of work, for progress: tiles of a network, or one."""
        return 1 if self.network is None else self.network.tiles(size, wanted)

    def enlarge(self, port: Port, sheet: Sheet, size: Size, check: Callable[[], None]) -> Sheet:
        """The picture at that size."""
        if self.network is None:
            check()
            return sheet.interpolated(size, self.entry.name)
        return sheet.grown(self.network, port, size, check)


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything that a job works with."""

    means: list[Means]
    faces: Faces | None


class Enlarger:
    """Runs the jobs of that kind for the engine. Safe from several lanes."""

    def __init__(
        self,
        stock: Stock,
        settings: Settings,
        shelves: tuple[UpscalerShelf, FaceShelf],
        multiplexer: Multiplexer,
        handler: DeviceHandler,
        version: str,
        thread: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`thread` is entered by each thread that works on tensors."""
        self._catalog, self._detectors, self._settings = stock.catalog, stock.detectors, settings
        self._shelf, self._faces = shelves
        self._multiplexer, self._handler, self._thread = multiplexer, handler, thread
        self._version = version

    def resolve(self, request: GenerationRequest) -> EnlargePlan:
        """The plan; nothing is loaded for it. Raises `StudioError` for anything that cannot be done."""
        validate(request)
        wish = request.enlarge
        if wish is None:
            raise InvalidRequest("No pictures were given to be made larger.")
        known, means = self._catalog.upscalers(), []
        for name, share in wish.shares:
            entry = find_upscaler(name, known)
            if entry.latent:
                raise UnsupportedFeature(f"The upscaler {entry.name!r} works on latents, in the hires pass only.")
            check_upscaler(entry)
            means.append((entry, share))
        sizes = sizes_of(wish)
        for size in sizes:
            self._check_size(size.whole, "The enlarged picture")
        return EnlargePlan(wish, tuple(means), sizes, plan_faces(wish, self._catalog, self._detectors))

    def _check_size(self, size: Size, what: str) -> None:
        check_enlarged(size, float(self._settings["upscale_max_megapixels"]), what)

    def generate(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """Enlarge all pictures. What was finished before a cancellation is returned with `interrupted` set."""
        plan = self.resolve(request)
        course = Course(context, len(plan.sizes))
        pictures: list[Picture] = []
        circumstances = Circumstances(self._version, self._shelf.device, self._shelf.dtype)
        interrupted = False
        try:
            with self._thread(), self._multiplexer.lane() as lane, self._lease(plan, context) as tools:
                port = Port(self._multiplexer, lane, 1)
                for number in range(len(plan.sizes)):
                    with contextlib.suppress(PictureSkipped):  # said in the notes
                        sheets = self._one(plan, number, tools, port, course)
                        made = finish_enlarged(plan, number, sheets, tools, circumstances)
                        pictures.append(change_enlarged(context.hooks, made))
                        context.finished(pictures[-1])
                        context.emit(ImageReady(context.job_id, pictures[-1]))
        except JobCancelled:
            interrupted = True
        except (RuntimeError, MemoryError, OutOfMemory) as error:
            if not is_out_of_memory(error, self._handler):
                raise
            recover(self._handler, error)
            raise OutOfMemory("Memory ran out while a picture was made larger.", advice=ADVICE) from None
        return GenerationResult(
            tuple(pictures), summarise_enlarged(plan), tuple(course.notes), course.elapsed, interrupted
        )

    @contextlib.contextmanager
    def _lease(self, plan: EnlargePlan, context: RunContext) -> Iterator[Tools]:
        context.check()
        with contextlib.ExitStack() as stack:
            if plan.faces is not None or any(entry.path is not None for entry, _ in plan.means):
                context.emit(StageStarted(context.job_id, "load", 0, len(plan.sizes)))
            means = [
                Means(entry, share, None if entry.path is None else stack.enter_context(self._shelf.lease(entry)))
                for entry, share in plan.means
            ]
            yield Tools(means, stack.enter_context(self._faces.lease(plan.faces)))

    def _one(self, plan: EnlargePlan, number: int, tools: Tools, port: Port, course: Course) -> tuple[Sheet, Sheet]:
        """One picture at its final size, and as it was given. Raises `JobCancelled` or `PictureSkipped`."""
        given = open_sheet(plan.wish.images[number], f"Picture {number + 1}")
        # Not the plan's: the picture may have been turned upright by what stands beside its pixels.
        size, means, faces = plan_enlarged(given.image.size, plan.wish), tools.means, tools.faces
        for each in means:
            if each.network is not None:
                self._check_size(each.network.largest(given.image.size, size.whole), f"What {each.entry.name} makes")
        course.begin(number, sum(each.calls(given.image.size, size.whole) for each in means))
        first = faces is not None and not plan.wish.upscale_first
        source = given.restored(faces, port, course.interrupt) if faces is not None and first else given
        made = [each.enlarge(port, source, size.whole, course.check) for each in means]
        sheet = made[0]
        if len(made) > 1:
            sheet = sheet.mixed(made[1], means[1].share)
        if faces is not None and not first:
            sheet = sheet.restored(faces, port, course.interrupt)
        course.end()
        return sheet.cut(size.box) if size.final != size.whole else sheet, given
