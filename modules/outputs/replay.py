"""From a picture's recipe back to a request that draws this one picture again, and what has changed since.

Every picture's noise follows from its own seed, so one picture of a batch is drawn again by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modules.contracts.codec import decode
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.faces import AS_DRAWN, FaceParams
from modules.contracts.features import FeatureParams
from modules.contracts.parameters import declared
from modules.contracts.pictures import StoredPicture
from modules.contracts.request import GROUPS, GenerationRequest, ModelParams, OutputParams, PromptParams

FORMAT = 1
"""Of recipes that this reads."""
OWN_VAE = "None"
"""The word of a request for the checkpoint's own VAE; without a word it is what settings or flags name by then."""
CARRIED = ("img2img_fix_steps", "upcast_vae_on_nan", "enable_prompt_comments")
"""Settings of a recipe that a repetition brings along; of the others only a change is told."""
GIVEN_FIRST = "hires.first_pass"
"""Stands among the parameters of a picture whose first pass was one that came with the request."""
UNCHANGING = frozenset(
    {"notes", "index", "parameters", "memory", "prompt", "negative_prompt", "words", "seed", "subseed", "file"}
)
"""Parts of a recipe that are not compared: a repetition asks for them, or they do not touch the picture."""


FURTHER = ("second", "third", "negative_second", "negative_third")
"""Prompts for further text encoders."""


@dataclass(frozen=True, slots=True)
class Change:
    """A part of the recipe that is not what it was."""

    part: str
    """Dotted, e.g. `versions.torch` or `model.sha256`."""
    then: Any
    now: Any


def request_of(picture: StoredPicture, kept: GenerationRequest | None) -> GenerationRequest:
    """What draws that picture alone: nothing is left to a default that may have changed since.

    `kept` is the job's request, which holds the pictures and masks that a recipe does not. Raises `UnsupportedFeature`
    for a recipe of another format and where such a picture is needed and not there any more.
    """
    recipe = picture.recipe
    if recipe.get("format") != FORMAT:
        raise UnsupportedFeature(
            f"The picture's recipe is of format {recipe.get('format')!r}; format {FORMAT} can be drawn again."
        )
    if recipe.get("mode") == "enlarge":
        return _enlarging(picture, kept)
    request = _declared_part(recipe["parameters"])
    first, sampler = recipe["first"], recipe["first"]["sampler"]
    settings = recipe.get("settings", {})
    request = replace(
        request,
        prompt=_prompts_of(request.prompt, recipe),
        canvas=replace(request.canvas, batch_size=1, batch_count=1),
        seeds=replace(request.seeds, seed=recipe["seed"], subseed=recipe["subseed"]),
        sampling=replace(
            request.sampling,
            sampler=sampler["sampler"],
            scheduler=sampler["scheduler"],
            cfg_scale=first["cfg_scale"],
        ),
        model=ModelParams(recipe["model"]["name"], recipe["vae"]["name"] if recipe["vae"] else OWN_VAE),
        output=OutputParams(save=False),
        features=_shrunk(request.features, first.get("shrink")),
        faces=_restored(request.faces, recipe.get("faces")),
        own=tuple((key, settings[key]) for key in CARRIED if key in settings),
    )
    if "film" in recipe:
        request = replace(request, film=replace(request.film, **recipe["film"]))
    if "words" in recipe and request.hires.enabled:
        hires_words = {"prompt": recipe["words"].get("hires_prompt", "")}
        hires_words["negative"] = recipe["words"].get("hires_negative", "")
        request = replace(request, hires=replace(request.hires, **hires_words))
    if recipe.get("control"):
        if kept is None or not kept.control.units:
            raise UnsupportedFeature("It was steered by other pictures, which the studio has not kept.")
        request = replace(request, control=kept.control)
    if recipe["mode"] == "txt2img":
        if GIVEN_FIRST in recipe["parameters"]:
            if kept is None or not kept.first_pass:
                raise UnsupportedFeature("Its first pass was another picture, which the studio has not kept.")
            request = replace(request, first_pass=kept.first_pass)
        return replace(request, canvas=replace(request.canvas, width=first["width"], height=first["height"]))
    return _with_pictures(request, picture.index, kept)


def _prompts_of(asked: PromptParams, recipe: Mapping[str, Any]) -> PromptParams:
    """The picture's own words: styles are in them, and wildcards and choices are drawn."""
    words = recipe.get("words", {})
    further: dict[str, Any] = {name: words.get(name, "") for name in FURTHER} if "words" in recipe else {}
    return replace(asked, text=recipe["prompt"], negative=recipe["negative_prompt"], styles=(), **further)


def _shrunk(asked: FeatureParams, shrink: Mapping[str, Any] | None) -> FeatureParams:
    """What was asked of the denoiser's inside, with the deep shrink that was used, or none where there was none."""
    if shrink is None:
        return replace(asked, shrink=1.0)
    return replace(asked, shrink=shrink["factor"], shrink_level=shrink["level"], shrink_end=shrink["end"])


def _restored(asked: FaceParams, faces: Mapping[str, Any] | None) -> FaceParams:
    """What was asked of faces, by the restorer that was used; nothing where faces are as they were drawn."""
    if faces is None:
        return AS_DRAWN
    return replace(asked, restorer=faces["restorer"]["name"], weight=faces["weight"])


def _enlarging(picture: StoredPicture, kept: GenerationRequest | None) -> GenerationRequest:
    """What makes that one picture larger again."""
    if kept is None or kept.enlarge is None:
        raise UnsupportedFeature("It was made from another picture, which the studio has not kept.")
    asked = _declared_part(picture.recipe["parameters"]).enlarge or kept.enlarge
    own = slice(picture.index, picture.index + 1)
    alone = replace(asked, images=kept.enlarge.images[own], infotexts=kept.enlarge.infotexts[own])
    return GenerationRequest(enlarge=alone, output=OutputParams(save=False))


def _declared_part(values: Mapping[str, Any]) -> GenerationRequest:
    groups: dict[str, Any] = {}
    for name, group in GROUPS.items():
        found = {item.path[1]: values[item.name] for item in declared(group, (name,)) if item.name in values}
        if found:
            groups[name] = decode(group, found)
    return GenerationRequest(**groups)


def _with_pictures(request: GenerationRequest, index: int, kept: GenerationRequest | None) -> GenerationRequest:
    if kept is None or kept.image is None or request.image is None:
        raise UnsupportedFeature("It was drawn from another picture, which the studio has not kept.")
    images, size = kept.image.images, kept.canvas.batch_size
    own = images[index % size] if len(images) == size else images[0]
    inpaint = None
    if kept.inpaint is not None and request.inpaint is not None:
        inpaint = replace(request.inpaint, mask=kept.inpaint.mask, latent_mask=kept.inpaint.latent_mask)
    return replace(request, image=replace(request.image, images=(own,)), inpaint=inpaint)


def changes_between(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Change, ...]:
    """Parts of two recipes of one picture that differ and that can make it another picture.

    Of settings that the older one does not tell nothing is said.
    """
    old, new = dict(_flatten(then)), dict(_flatten(now))
    if "settings" not in then:
        new = {name: value for name, value in new.items() if not name.startswith("settings.")}
    names = sorted(old.keys() | new.keys())
    return tuple(Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def _flatten(recipe: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in recipe.items():
        name = f"{prefix}{key}"
        if not prefix and key in UNCHANGING:
            continue
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}.")
        else:
            yield name, value
