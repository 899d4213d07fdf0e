"""From a request to a plan: nothing optional is left, and whatever was changed on the way is noted.

Nothing here imports torch; making a plan takes microseconds and may be done to check a request.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from modules.contracts.cache import ABILITIES
from modules.contracts.catalog import Catalog, Family, ModelEntry
from modules.contracts.controls import Controls, NoControls
from modules.contracts.detectors import Detectors, NoDetectors
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.networks import Networks, NetworkTag, NetworkUse, NoNetworks
from modules.contracts.plan import GenerationPlan, MemoryPlan, PassPlan, PicturePlan, Placement
from modules.contracts.request import MAX_SEED, GenerationRequest
from modules.contracts.style import STATISTICS
from modules.contracts.validation import validate
from modules.networks.uses import uses_of
from modules.processing_diffusers.control_plan import find_controls, share_out
from modules.processing_diffusers.detail_plan import DetailRoom, plan_details
from modules.processing_diffusers.face_plan import plan_drawn_faces
from modules.processing_diffusers.film_plan import check_first_frame, plan_film
from modules.processing_diffusers.parts_plan import find_parts
from modules.processing_diffusers.pictures import decode_picture
from modules.processing_diffusers.refining import plan_refiner
from modules.processing_diffusers.sampling import count_steps, divide_pass, plan_hires_sampler, plan_sampler
from modules.processing_diffusers.sizes import Size, check_megapixels, check_second_pass, fit_encoded, fit_size
from modules.processing_diffusers.style_plan import find_style, style_units
from modules.processing_diffusers.tile_plan import find_sd_upscaler, tile_pass
from modules.prompts.areas import lay_out, parse_areas
from modules.prompts.composition import split_composition
from modules.prompts.tags import take_tags
from modules.prompts.words import Resolver, Sources
from modules.sd_samplers.table import SamplerTable
from modules.upscalers.spandrel_model import check_upscaler
from modules.upscalers.table import find_upscaler

EDIT_SCALE = 1.5
"""How strongly an editing model is led towards the picture where nothing is said: its authors' default."""
Measured = TypeVar("Measured", Size, Size | None)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a request is resolved against: a snapshot of the settings, the catalogue, the samplers."""

    settings: Mapping[str, Any]
    catalog: Catalog
    table: SamplerTable
    words: Sources = field(default_factory=Sources)
    networks: Networks = field(default_factory=NoNetworks)
    controls: Controls = field(default_factory=NoControls)
    detectors: Detectors = field(default_factory=NoDetectors)


def resolve_request(
    request: GenerationRequest, around: Surroundings, placement: Mapping[str, Placement], memory: MemoryPlan
) -> GenerationPlan:
    """The plan. Raises `InvalidRequest`, `UnsupportedFeature`, `UnknownModel` or `BrokenModel`."""
    validate(request)
    notes: list[str] = []
    model = around.catalog.find_model(request.model.checkpoint)
    family = around.catalog.family(str(model.family)).drawn_with(model)
    check_features(request, family, notes)
    wanted = wanted_size(request, model, lambda data: decode_picture(data, "Picture 1").size)
    size = fit_size(wanted, family, notes)
    limit = float(around.settings["max_megapixels"])
    check_megapixels(size, limit)
    first = _first_pass(request, family, size, around, notes)
    first = replace(first, upscaler=find_sd_upscaler(request, around.catalog))
    hires = _hires_pass(request, family, first, around, notes)
    style = find_style(request, around.controls, family, notes)
    units = (*find_controls(request, around.controls, family, notes), *style_units(request, style, family))
    first = replace(first, style=style, run=0 if style is not None and style.method == STATISTICS else first.run)
    first = tile_pass(request, model, family, first)
    if first.tiles is not None and (request.features.shrink or 1) > 1:
        notes.append("Each tile is seen by itself, so deep shrink was left out.")
    hires = None if hires is None else tile_pass(request, model, family, hires, hires=True)
    first, hires = share_out(units, first, hires)
    encoded = _encoded_sizes(request, family, limit, notes)
    batches = find_networks(_words_and_seeds(request, around, notes), around, notes)
    film = plan_film(request, family, notes)
    drawn = film is None and (style is None or style.method != STATISTICS)
    if request.faces.acts and not drawn:
        notes.append("Faces are restored in pictures that are drawn; here they were left as they are.")
    faces = plan_drawn_faces(request, around.settings, around.catalog, around.detectors, notes) if drawn else None
    restored = tuple(tuple(replace(picture, faces=faces) for picture in batch) for batch in batches)
    plan = GenerationPlan(
        request=request,
        model=model,
        family=family,
        parts=find_parts(around.catalog, request.model, around.settings),
        batches=plan_details(request, restored, _detail_room(model, family, around, notes), notes),
        first=first,
        hires=hires,
        placement=placement,
        memory=memory,
        notes=tuple(notes),
        encoded=encoded,
        film=film,
    )
    return plan_refiner(plan, around.catalog, around.table)


def _detail_room(model: ModelEntry, family: Family, around: Surroundings, notes: list[str]) -> DetailRoom:
    settings = around.settings
    return DetailRoom(
        model,
        family,
        around.detectors,
        around.table,
        around.words,
        float(settings["max_megapixels"]),
        bool(settings["img2img_fix_steps"]),
        lambda words: find_networks((words,), around, notes)[0],
    )


def find_networks(
    batches: tuple[tuple[PicturePlan, ...], ...], around: Surroundings, notes: list[str]
) -> tuple[tuple[PicturePlan, ...], ...]:
    """The pictures with what their tags ask for found in the catalogue. Raises as `uses_of` does."""
    pictures = [picture for batch in batches for picture in batch]
    tags = [tag for picture in pictures for tag in (*picture.networks, *picture.hires_networks)]
    if not tags:
        return batches
    known = uses_of(tags, around.networks, str(around.settings["unknown_networks"]), notes)

    def found(tags: tuple[NetworkTag, ...]) -> tuple[NetworkUse, ...]:
        return tuple(known[tag] for tag in tags if tag in known)

    return tuple(
        tuple(replace(one, uses=found(one.networks), hires_uses=found(one.hires_networks)) for one in batch)
        for batch in batches
    )


def joined_rows(plan: GenerationPlan, rows: int) -> int:
    """Rows that the largest batch brings to the denoiser where prompts are joined by `AND`; 0 where none are.

    `rows` is what any other picture brings. Raises `InvalidRequest` for too many prompts.
    """
    spare = int("negative_prompt" in plan.family.capabilities)  # what they are mixed round
    each, most, wider = 1 + branch_rows(plan), 0, 1 + reference_rows(plan)
    for batch in plan.batches:
        texts = ((picture.prompt, picture.words.hires_prompt) for picture in batch)
        counts = [max(len(split_composition(take_tags(text)[0])) for text in both) for both in texts]
        if max(counts) > 1:
            most = max(most, sum((count * each + spare) * wider if count > 1 else rows for count in counts))
    return most


CHOSEN = re.compile(r"__|[{|}]")
"""Signs of words that a picture's seed chooses, so that they are not known before."""


def check_areas(request: GenerationRequest, family: Family) -> None:
    """Raise `InvalidRequest` for prompt areas that are not understood, `UnsupportedFeature` where they cannot be."""
    areas, _ = parse_areas(request.prompt.areas)
    if not areas:
        return
    if "areas" not in family.capabilities:
        raise UnsupportedFeature(f"{family.label} cannot give areas of a picture prompts of their own.")
    if request.tiles.acts or request.upscale.acts:
        raise UnsupportedFeature("Prompt areas and tiled diffusion do not go together; leave one of them out.")
    if request.inpaint is not None and request.inpaint.only_masked:
        raise UnsupportedFeature("Prompt areas lie over the whole picture; switch 'Only masked' off.")
    text, _ = take_tags(request.prompt.text)
    if not request.prompt.styles and not CHOSEN.search(text):
        lay_out(areas, len(split_composition(text)))
    second, _ = take_tags(request.hires.prompt)
    count = len(split_composition(second))
    # A second pass whose own prompt joins nothing is for the whole picture.
    if request.hires.enabled and second.strip() and count > 1 and not CHOSEN.search(second):
        lay_out(areas, count)


def check_features(request: GenerationRequest, family: Family, notes: list[str]) -> None:
    """Raise `UnsupportedFeature` for what changes the whole picture, note what is merely left out."""
    can = family.capabilities
    wishes = {
        "txt2img": (request.mode == "txt2img", "draws from a picture only; give one"),
        "img2img": (request.mode == "img2img" and "first_frame" not in can, "cannot start from a picture"),
        "inpaint": (request.mode == "inpaint", "cannot repaint a part of a picture"),
        "tiling": (request.canvas.tiling, "cannot draw tiles"),
        "hires": (request.hires.enabled, "has no hires pass"),
    }
    for word, (wished, sentence) in wishes.items():
        if wished and word not in can:
            raise UnsupportedFeature(f"{family.label} {sentence}.")
    check_first_frame(request, family)
    if request.hires.checkpoint not in (None, "", request.model.checkpoint):
        raise UnsupportedFeature("The hires pass is drawn by the same checkpoint; leave 'Hires checkpoint' empty.")
    check_areas(request, family)
    if request.prompt.negative and "negative_prompt" not in can:
        notes.append(f"{family.label} takes no negative prompt; it was left out.")
    prompt, encoders = request.prompt, len(family.text_encoders)
    if (encoders < 3 and (prompt.third or prompt.negative_third)) or (
        encoders < 2 and (prompt.second or prompt.negative_second)
    ):
        notes.append(f"{family.label} has {encoders} text encoder(s); prompts for further ones were left out.")
    if request.prompt.clip_skip > 1 and "clip_skip" not in can:
        notes.append(f"{family.label} has no clip skip; it was left out.")
    if request.sampling.s_min_uncond > 0 and "negative_prompt" not in can:
        notes.append(f"{family.label} takes no negative prompt, so s_min_uncond changed nothing.")
    if request.sampling.cfg_rescale > 0 and "cfg_rescale" not in can:
        notes.append(f"{family.label} has no CFG rescale; it was left out.")
    guidance = request.guidance
    if (guidance.scheduled or guidance.mixing or guidance.perp_neg > 0) and "negative_prompt" not in can:
        notes.append(f"{family.label} takes no negative prompt, so what was asked of guidance changed nothing.")
    elif guidance.zeroing and family.prediction != "flow":
        notes.append(f"CFG-Zero* is for flow models and {family.label} is none; it was left out.")
    if request.image is not None and request.image.edit_scale is not None and "edit" not in can:
        notes.append(f"{family.label} has no image CFG scale; it was left out.")
    check_inside(request, family, notes)


def check_inside(request: GenerationRequest, family: Family, notes: list[str]) -> None:
    """Note what is asked of the denoiser's inside and is not there."""
    attention, can = request.attention, family.capabilities
    wishes = {
        "PAG and SEG": (attention.pag_scale > 0 or attention.seg_scale > 0, "perturbed_attention"),
        "skip-layer guidance": (attention.slg_scale > 0, "skip_layers"),
        "FreeU": (request.features.freeu, "freeu"),
        "token merging and HyperTile": (request.features.thinned, "fewer_tokens"),
        "deep shrink": ((request.features.shrink or 1) > 1, "deep_shrink"),
    }
    for name, (wished, word) in wishes.items():
        if wished and word not in can:
            notes.append(f"{family.label} has nothing for {name}; it was left out.")
    if family.decoder and (request.tone.acts or request.reach.acts):
        notes.append(f"What {family.label} draws first has no colours to correct; they were left as they are.")
    method = request.cache.method
    if method in ABILITIES and ABILITIES[method] not in can:
        notes.append(f"{family.label} has nothing for {method}; every step was computed in full.")


def branch_rows(plan: GenerationPlan) -> int:
    """Rows that each prompt of a picture has in a call besides the ordinary one, at most."""
    attention, can = plan.request.attention, plan.family.capabilities
    seen = (attention.pag_scale > 0) + (attention.seg_scale > 0) if "perturbed_attention" in can else 0
    blind = plan.family.seen_channels and edit_scale(plan) != 1
    return seen + int(attention.slg_scale > 0 and "skip_layers" in can) + int(blind)


def edit_scale(plan: GenerationPlan) -> float:
    """How strongly an editing model is led towards the picture that it is shown."""
    asked = None if plan.request.image is None else plan.request.image.edit_scale
    return EDIT_SCALE if asked is None else asked


def reference_rows(plan: GenerationPlan) -> int:
    """Samples that stand beside each row of a picture in a call for it to look at, at most."""
    passes = (plan.first, plan.hires or plan.first)
    return max(sum(use.unit.acts and use.entry is None for use in one.controls) for one in passes) + plan.style_rows


def wanted_size(request: GenerationRequest, model: ModelEntry, measure: Callable[[bytes], Measured]) -> Size | Measured:
    """What was asked for; a missing side is the given picture's, or the model's native one. With SD upscale or
    outpainting it is the given picture's, made larger.

    `measure` gives the size of a picture; where it has none to give there is none.
    """
    width, height = request.canvas.width, request.canvas.height
    if (request.upscale.acts or request.outpaint.acts) and request.image is not None:
        found = measure(request.image.images[0])
        changes = request.upscale if request.upscale.acts else request.outpaint
        return found if found is None else changes.size_of(found)
    if width is not None and height is not None:
        return width, height
    native = model.native_size
    inside = request.inpaint is not None and request.inpaint.only_masked
    if request.image is None or inside:
        return width or native, height or native
    given = measure(request.image.images[0])
    return given if given is None else (width or given[0], height or given[1])


def _encoded_sizes(
    request: GenerationRequest, family: Family, limit: float, notes: list[str]
) -> tuple[tuple[int, int], ...]:
    """Sizes at which given pictures go through the VAE when it is their latents that are resized."""
    resized = request.image is not None and request.image.resize_mode == "latent" and not request.upscale.acts
    if request.image is None or request.mode == "inpaint" or not resized:
        return ()
    names = ((f"Picture {number}", data) for number, data in enumerate(request.image.images, 1))
    given = [(name, decode_picture(data, name).size) for name, data in names]
    return tuple(fit_encoded(size, family.latent_factor, limit, notes, name) for name, size in given)


def _first_pass(
    request: GenerationRequest, family: Family, size: Size, around: Surroundings, notes: list[str]
) -> PassPlan:
    sampling = request.sampling
    sampler = plan_sampler(around.table, sampling, family)
    cfg = float(family.defaults["cfg_scale"]) if sampling.cfg_scale is None else sampling.cfg_scale
    if request.first_pass:
        return PassPlan(*size, sampler, cfg, 0.0, 0)
    strength, scheduled, run = 1.0, request.steps, request.steps
    if request.image is not None and not family.first_frame:
        strength = request.style.anew(request.image.denoising_strength)
        scheduled, run = count_steps(request.steps, strength, every=bool(around.settings["img2img_fix_steps"]))
    plan = PassPlan(*size, replace(sampler, steps=scheduled), cfg, strength, run)
    return divide_pass(around.table, request, family, plan, notes)


def _hires_pass(
    request: GenerationRequest, family: Family, first: PassPlan, around: Surroundings, notes: list[str]
) -> PassPlan | None:
    hires, sampling = request.hires, request.sampling
    if not hires.enabled or request.image is not None:
        return None
    limit = float(around.settings["max_megapixels"])
    width, height = check_second_pass((first.width, first.height), hires, family, limit, notes).final
    sampler = plan_hires_sampler(around.table, sampling, hires, family)
    scheduled, run = count_steps(hires.steps or request.steps, hires.denoising_strength, every=True)
    sampler = replace(sampler, steps=scheduled)
    upscaler = find_upscaler(hires.upscaler, around.catalog.upscalers())
    check_upscaler(upscaler)
    plan = PassPlan(width, height, sampler, first.cfg_scale, hires.denoising_strength, run, upscaler)
    if hires.sampler or hires.scheduler:
        return plan  # a sampler of its own draws it to its end
    return divide_pass(around.table, request, family, plan, notes)


def _words_and_seeds(
    request: GenerationRequest, around: Surroundings, notes: list[str]
) -> tuple[tuple[PicturePlan, ...], ...]:
    """All pictures, batch by batch, each with words and seeds of its own where the request names them one by one."""
    if not request.each:
        return plan_pictures(request, Resolver(request, around.words, notes))
    found = []
    for place, wish in enumerate(request.each):
        prompt = replace(request.prompt, text=wish.prompt, negative=wish.negative)
        resolver = Resolver(replace(request, prompt=prompt), around.words, notes)
        found.append(_plan_picture(resolver, place, wish.seed, wish.subseed))
    count = request.canvas.batch_size
    return tuple(tuple(found[begin : begin + count]) for begin in range(0, len(found), count))


def plan_pictures(request: GenerationRequest, resolver: Resolver) -> tuple[tuple[PicturePlan, ...], ...]:
    """All pictures, batch by batch, each with words of its own. Seeds count up from picture to picture.

    With a variation strength all share the seed and the variation seeds count up instead, as in A1111.
    """
    seeds, count = request.seeds, request.canvas.batch_size
    seed = secrets.randbelow(MAX_SEED + 1) if seeds.seed < 0 else seeds.seed
    subseed = secrets.randbelow(MAX_SEED + 1) if seeds.subseed < 0 else seeds.subseed
    step = 0 if seeds.subseed_strength > 0 else 1
    batches = []
    for batch in range(request.canvas.batch_count):
        places = range(batch * count, (batch + 1) * count)
        batches.append(
            tuple(
                _plan_picture(
                    resolver, place, (seed + place * step) % (MAX_SEED + 1), (subseed + place) % (MAX_SEED + 1)
                )
                for place in places
            )
        )
    return tuple(batches)


def _plan_picture(resolver: Resolver, place: int, seed: int, subseed: int) -> PicturePlan:
    said = resolver.resolve(seed)
    return PicturePlan(
        index=place,
        prompt=said.prompt,
        negative=said.negative,
        seed=seed,
        subseed=subseed,
        networks=said.networks,
        hires_networks=said.hires_networks,
        words=said.words,
    )
