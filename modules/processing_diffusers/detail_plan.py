"""What the details of a request mean: detectors by name, sizes and samplers of the passes, words for each region."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from modules.contracts.catalog import Family, ModelEntry
from modules.contracts.detailer import PART, PROMPT, SKIP, Detail, DetailerParams
from modules.contracts.detectors import Detectors
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.plan import DetailPlan, PassPlan, PicturePlan
from modules.contracts.request import GenerationRequest
from modules.processing_diffusers.sampling import count_steps, plan_sampler
from modules.processing_diffusers.sizes import Size, check_megapixels, fit_size
from modules.prompts.words import Resolver, Sources
from modules.sd_samplers.table import SamplerTable

Pictures = tuple[PicturePlan, ...]


@dataclass(frozen=True, slots=True)
class DetailRoom:
    """What details are planned with."""

    model: ModelEntry
    family: Family
    detectors: Detectors
    table: SamplerTable
    words: Sources
    limit: float
    """Megapixels that a region may be worked on at."""
    every: bool
    """All steps are run, as the setting img2img_fix_steps says."""
    networks: Callable[[Pictures], Pictures]
    """Finds what tags of words ask for."""


def check_details(request: GenerationRequest, model: ModelEntry, family: Family, detectors: Detectors) -> None:
    """Raise `UnsupportedFeature`, `UnknownModel` or `BrokenModel` for a detail that cannot be done here."""
    if request.details and "inpaint" not in family.capabilities:
        raise UnsupportedFeature(f"{family.label} cannot repaint a part of a picture, so it has no detailer.")
    for detail in request.details:
        detectors.find(str(detail.regions.detector))


def plan_details(
    request: GenerationRequest, batches: tuple[Pictures, ...], room: DetailRoom, notes: list[str]
) -> tuple[tuple[PicturePlan, ...], ...]:
    """The pictures with what is looked for in them. Raises as `check_details` does, and for sizes and samplers."""
    if not request.details:
        return batches
    check_details(request, room.model, room.family, room.detectors)
    found: list[list[tuple[DetailPlan, ...]]] = [[() for _ in batch] for batch in batches]
    for detail in request.details:
        entry = room.detectors.find(str(detail.regions.detector))
        paint = _plan_pass(request, detail.detailer, room, notes)
        author = _Author(request, detail.detailer, room, notes)
        for place, batch in enumerate(batches):
            for number, picture in enumerate(batch):
                found[place][number] += (DetailPlan(detail, entry, paint, author.words_for(picture)),)
    return tuple(
        tuple(replace(picture, details=found[place][number]) for number, picture in enumerate(batch))
        for place, batch in enumerate(batches)
    )


def size_of(wanted: DetailerParams, model: ModelEntry) -> Size:
    """The size at which a region is worked on, before it is fitted to the family."""
    return wanted.width or model.native_size, wanted.height or model.native_size


def _plan_pass(request: GenerationRequest, wanted: DetailerParams, room: DetailRoom, notes: list[str]) -> PassPlan:
    size = fit_size(size_of(wanted, room.model), room.family, notes, "The detailer's size")
    check_megapixels(size, room.limit, "The detailer's size")
    sampling = request.sampling
    # A sampler of its own brings its own schedule, unless one is named as well.
    schedule = wanted.scheduler or (None if wanted.sampler else sampling.scheduler)
    steps = wanted.steps or request.steps
    asked = replace(sampling, sampler=wanted.sampler or sampling.sampler, scheduler=schedule, steps=steps)
    sampler = plan_sampler(room.table, asked, room.family)
    cfg = float(room.family.defaults["cfg_scale"]) if sampling.cfg_scale is None else sampling.cfg_scale
    scheduled, run = count_steps(steps, wanted.strength, every=room.every)
    scale = cfg if wanted.cfg_scale is None else wanted.cfg_scale
    return PassPlan(*size, replace(sampler, steps=scheduled), scale, wanted.strength, run)


class _Author:
    """Says the words of each region of one detail."""

    def __init__(self, request: GenerationRequest, wanted: DetailerParams, room: DetailRoom, notes: list[str]) -> None:
        self._parts: tuple[Resolver | str | None, ...] = tuple(_parts(request, wanted, room, notes))
        self._find = room.networks

    def words_for(self, picture: PicturePlan) -> tuple[PicturePlan | None, ...]:
        """What the regions of that picture are drawn by."""
        found = [_worded(part, picture) for part in self._parts]
        spoken = self._find(tuple(one for one in found if one is not None))
        rest = iter(spoken)
        return tuple(None if one is None else next(rest) for one in found)


def _worded(part: Resolver | str | None, picture: PicturePlan) -> PicturePlan | None:
    if part is None:
        return None
    if isinstance(part, str):
        return replace(picture, details=(), hires_networks=(), hires_uses=())
    said = part.resolve(picture.seed)
    return PicturePlan(
        picture.index, said.prompt, said.negative, picture.seed, picture.subseed, said.networks, words=said.words
    )


def _parts(
    request: GenerationRequest, wanted: DetailerParams, room: DetailRoom, notes: list[str]
) -> Iterator[Resolver | str | None]:
    """For each region who says its words: an empty text for the picture's own, None for nobody."""
    texts, against = ([part.strip() for part in text.split(PART)] for text in (wanted.prompt, wanted.negative))
    for place in range(max(len(texts), len(against))):
        text, negative = _at(texts, place), _at(against, place)
        if text == SKIP:
            yield None
        elif not text and not negative:
            yield ""
        else:
            prompt = request.prompt
            own = replace(prompt, text=_filled(text, prompt.text), negative=_filled(negative, prompt.negative))
            if text:  # what a further encoder was told is of the picture's prompt
                own = replace(own, second="", third="")
            if negative:
                own = replace(own, negative_second="", negative_third="")
            yield Resolver(replace(request, prompt=own), room.words, notes)


def _at(texts: Sequence[str], place: int) -> str:
    return texts[min(place, len(texts) - 1)]


def _filled(text: str, whole: str) -> str:
    return text.replace(PROMPT, whole) if text else whole


def describe_details(details: Sequence[Detail]) -> list[dict[str, str | float | int | bool | None]]:
    """For the recipe: every detail with all that it was asked for; its mask by name only."""
    rows = []
    for detail in details:
        row = {
            name: getattr(group, name)
            for group in (detail.regions, detail.detailer)
            for name in group.__dataclass_fields__
            if name != "mask"
        }
        rows.append({**row, "mask": "given" if detail.regions.mask else None})
    return rows
