"""What txt2img and img2img answer: pictures, the echo of the body, and `info` as JSON text with A1111's keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from modules.api.grid import make_grid
from modules.api.images import to_base64
from modules.api.reading import Wish
from modules.api.units import without_pictures
from modules.contracts.request import GenerationRequest
from modules.contracts.result import SHEET, GenerationResult, Picture
from modules.outputs.metadata import encode

PICTURES = ("init_images", "mask", "latent_mask", "firstpass_image", "style_image", "detailer_mask")
"""Fields of bodies that hold some."""
SHORT = 10
"""Digits of a hash that A1111 shows."""


class TextToImageResponse(BaseModel):
    """Pictures from words."""

    images: list[str] = Field(description="The pictures in bare base64, or nothing with send_images false.")
    parameters: dict[str, Any] = Field(description="The body as it was understood, defaults filled in.")
    info: str = Field(description="JSON text: what was drawn, with all seeds and infotexts.")


class ImageToImageResponse(TextToImageResponse):
    """Pictures from words and a picture."""


def make_answer(body: Mapping[str, Any], wish: Wish, result: GenerationResult, version: str) -> dict[str, Any]:
    """The answer as plain data. Encodes pictures, so it blocks.

    Sheets that a script made of its pictures come first, as in A1111, and are none of those that `info` counts.
    """
    sheets = [picture for picture in result.pictures if picture.recipe.get(SHEET)]
    pictures = tuple(picture for picture in result.pictures if not picture.recipe.get(SHEET))
    grid = not sheets and wants_grid(body, wish, len([one for one in pictures if one.film is None]))
    images: list[str] = []
    if body.get("send_images") is not False:
        output = wish.request.output
        encoded = [_encode(picture.content, picture.infotext, picture.recipe, wish) for picture in (*sheets, *pictures)]
        if grid:
            sheet = make_grid([picture.image for picture in pictures])
            encoded.insert(
                0, encode(sheet, output.format, infotext=pictures[0].infotext, recipe={}, quality=_quality(wish))
            )
        images = [to_base64(data) for data in encoded]
    infotexts, before = [picture.infotext for picture in pictures], len(sheets) + grid
    info = describe(wish, replace(result, pictures=pictures), version) | {
        "infotexts": infotexts[:1] * before + infotexts,
        "index_of_first_image": before,
    }
    return {"images": images, "parameters": echo(body), "info": json.dumps(info, ensure_ascii=False, default=_nothing)}


def wants_grid(body: Mapping[str, Any], wish: Wish, pictures: int) -> bool:
    """A1111's rule: a grid comes first when pictures are saved, there are several, and `return_grid` is set."""
    if body.get("do_not_save_grid"):
        return False
    return bool(body.get("save_images")) and pictures > 1 and bool(wish.settings.get("return_grid"))


def echo(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as the client gets it back; its pictures only when it asked for them."""
    echoed = dict(body)
    if echoed.get("alwayson_scripts"):
        echoed["alwayson_scripts"] = without_pictures(echoed["alwayson_scripts"])
    if not echoed.get("include_init_images"):
        echoed |= {name: None for name in PICTURES if name in echoed}
    return echoed


def describe(wish: Wish, result: GenerationResult, version: str) -> dict[str, Any]:
    """The keys of A1111's `info`, in its order, and `notes`."""
    request, pictures, resolved = wish.request, result.pictures, result.resolved
    first: Picture | None = pictures[0] if pictures else None
    width, height = first.image.size if first else (request.canvas.width or 0, request.canvas.height or 0)
    seeds, subseeds = [item.seed for item in pictures], [item.subseed for item in pictures]
    prompts, negatives = [item.prompt for item in pictures], [item.negative for item in pictures]
    return {
        "prompt": first.prompt if first else request.prompt.text,
        "all_prompts": prompts,
        "negative_prompt": first.negative if first else request.prompt.negative,
        "all_negative_prompts": negatives,
        "seed": seeds[0] if seeds else request.seeds.seed,
        "all_seeds": seeds,
        "subseed": subseeds[0] if subseeds else request.seeds.subseed,
        "all_subseeds": subseeds,
        "subseed_strength": request.seeds.subseed_strength,
        "width": width,
        "height": height,
        "sampler_name": resolved.get("sampling.sampler") or request.sampling.sampler,
        "cfg_scale": _number(resolved.get("sampling.cfg_scale"), request.sampling.cfg_scale),
        "steps": _number(resolved.get("sampling.steps"), request.sampling.steps),
        "batch_size": request.canvas.batch_size,
        "restore_faces": bool(resolved.get("faces.restorer")),
        "face_restoration_model": resolved.get("faces.restorer") or None,
        "sd_model_name": resolved.get("model") or request.model.checkpoint,
        "sd_model_hash": resolved.get("model_hash"),
        "sd_vae_name": resolved.get("vae"),
        "sd_vae_hash": _vae_hash(first),
        "seed_resize_from_w": request.seeds.resize_from_width,
        "seed_resize_from_h": request.seeds.resize_from_height,
        "denoising_strength": strength(request),
        "extra_generation_params": {},
        "index_of_first_image": 0,
        "infotexts": [],
        "styles": list(request.prompt.styles),
        "job_timestamp": datetime.now(UTC).astimezone().strftime("%Y%m%d%H%M%S"),
        "clip_skip": request.prompt.clip_skip,
        "is_using_inpainting_conditioning": bool(resolved.get("inpainting_conditioning")),
        "version": version,
        "interrupted": result.interrupted,
        "notes": [*wish.notes, *result.notes],
    }


def strength(request: GenerationRequest) -> float | None:
    """Denoising strength, where one was at work."""
    if request.image is not None:
        return request.image.denoising_strength
    return request.hires.denoising_strength if request.hires.enabled else None


def _vae_hash(picture: Picture | None) -> str | None:
    """The short hash of the separate VAE that decoded the picture, from its recipe."""
    vae = picture.recipe.get("vae") if picture is not None else None
    sha256 = vae.get("sha256") if isinstance(vae, Mapping) else None
    return sha256[:SHORT] if isinstance(sha256, str) else None


def _encode(image: Any, infotext: str, recipe: Mapping[str, Any], wish: Wish) -> bytes:
    return encode(image, wish.request.output.format, infotext=infotext, recipe=recipe, quality=_quality(wish))


def _quality(wish: Wish) -> int:
    return int(wish.settings.get("jpeg_quality", 90))


def _number(resolved: Any, asked: Any) -> Any:
    return asked if resolved is None else resolved


def _nothing(value: Any) -> None:
    """What JSON cannot hold becomes null, as in A1111."""
