"""The bodies of txt2img and img2img: declared parameters, and the fields of the old API that are no parameters.

Names are A1111's, so that clients made from its OpenAPI document fit. Unknown fields are ignored and null is the
default everywhere, because clients rely on both.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from modules.api.examples import OLD_FILM, PICTURE, PROMPT
from modules.api.fields import Whole, definitions, sound_text


def _optional(kind: Any, default: Any, text: str) -> tuple[Any, Any]:
    return (kind | None if kind is not Any else Any, Field(default, description=text))


UNUSED = "Accepted for old clients; it changes nothing here."

SMALL: dict[str, Any] = {"prompt": PROMPT, "steps": 12, "width": 128, "height": 128, "seed": 1}
"""The example of both."""

COMMON: dict[str, Any] = {
    "sampler_index": _optional(str, "Euler", "Name of the sampler where sampler_name is absent."),
    "script_name": _optional(str, None, "Title of a script that takes over the run."),
    "script_args": _optional(Any, [], "Arguments of that script."),
    "alwayson_scripts": _optional(Any, {}, "Arguments of always-on scripts by title."),
    "send_images": _optional(bool, True, "Put the pictures into the answer."),
    "override_settings": _optional(Any, None, "Settings for this request alone."),
    "override_settings_restore_afterwards": _optional(Any, True, f"{UNUSED} Overrides never outlive their request."),
    "force_task_id": _optional(str, None, "Id for the job, chosen by the client; must be new."),
    "infotext": _optional(str, None, "Parameters as text; fills the fields that the body leaves out."),
    "do_not_save_samples": _optional(bool, False, "Keep no picture in the gallery, whatever save_images says."),
    "do_not_save_grid": _optional(bool, False, "Put no grid before the pictures."),
    "comments": _optional(Any, None, "Texts, or an object whose keys are; they come back among the notes of info."),
    "style_image": _optional(str, None, "In base64; the picture whose style the drawing, or the picture given, takes."),
    "detailer_mask": _optional(str, None, "In base64, white where the detailer draws; for the detailer_model Mask."),
    "firstpass_image": _optional(str, None, "In base64; stands for the first pass of txt2img with enable_hr."),
}

TXT2IMG: dict[str, Any] = {
    "firstphase_width": _optional(Whole, 0, "Width of the first pass; width is then that of the second."),
    "firstphase_height": _optional(Whole, 0, "Height of the first pass; height is then that of the second."),
}

IMG2IMG: dict[str, Any] = {
    "init_images": _optional(list[str], None, "Pictures in base64 or as data URIs: one, or one for each of the batch."),
    "mask": _optional(str, None, "Mask in base64 or as a data URI; white is drawn anew."),
    "mask_blur_x": _optional(Whole, 4, "Blur across, where mask_blur is absent."),
    "mask_blur_y": _optional(Whole, 4, "Blur down, where mask_blur is absent."),
    "include_init_images": _optional(bool, False, "Echo the pictures in parameters."),
    "latent_mask": _optional(str, None, "In base64; of the latents this is drawn anew, and mask says what is shown."),
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _sound(cls, data: Any) -> Any:
        return sound_text(data)


def _blurless(made: dict[str, Any]) -> dict[str, Any]:
    """`mask_blur` is null by default, so that mask_blur_x and mask_blur_y can be told apart from it."""
    kind, field = made["mask_blur"]
    return {**made, "mask_blur": (kind, Field(default=None, description=field.description))}


_Txt2Img: Any = create_model("_Txt2Img", __base__=_Body, **definitions("txt2img"), **COMMON, **TXT2IMG)
_Img2Img: Any = create_model("_Img2Img", __base__=_Body, **_blurless(definitions("img2img")), **COMMON, **IMG2IMG)


class StableDiffusionProcessingTxt2Img(_Txt2Img):
    """Draw from words."""

    model_config = ConfigDict(json_schema_extra={"examples": [SMALL, OLD_FILM]})


class StableDiffusionProcessingImg2Img(_Img2Img):
    """Draw from words and a picture, or repaint a part of it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**SMALL, "init_images": [PICTURE], "denoising_strength": 0.6}]}
    )
