"""Making a picture of the gallery larger: its inputs on the page, and the job that they ask for."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from modules.contracts.catalog import Catalog
from modules.contracts.enlarging import LONGEST_INFOTEXT, NOTHING, EnlargeParams
from modules.contracts.errors import InvalidRequest, UnknownName
from modules.contracts.parameters import declared
from modules.contracts.pictures import PictureStore
from modules.contracts.request import GenerationRequest, OutputParams
from modules.outputs.deep_png import repack
from modules.ui.facts import choices_of


@dataclass(frozen=True, slots=True)
class Wished:
    """What the inputs of this place hold, in their order."""

    upscaler: Any
    scale: Any
    restorer: Any = NOTHING
    visibility: Any = 1.0


def enlarging_inputs(catalog: Catalog) -> tuple[Any, Any, Any, Any]:
    """Upscaler, factor, face restorer and its visibility, made from their declarations; ids are A1111's extras tab's
    where that has such a thing."""
    rules = {item.path[0]: item for item in declared(EnlargeParams)}
    upscaler, scale, restorer, share = (rules[key] for key in ("upscaler", "scale", "restorer", "restorer_share"))
    latent = {entry.name for entry in catalog.upscalers() if entry.latent}
    names = [name for _, name in choices_of(catalog, "upscalers") if name not in (*latent, "None")]
    return (
        gr.Dropdown(
            names, value=upscaler.default, label=upscaler.param.label, elem_id="extras_upscaler_1", min_width=0
        ),
        gr.Number(
            scale.default,
            label=scale.param.label,
            minimum=1,
            maximum=scale.param.maximum,
            step=0.5,
            elem_id="extras_upscaling_resize",
            min_width=0,
        ),
        gr.Dropdown(
            choices_of(catalog, "restorers"),
            value=restorer.default,
            label=restorer.param.label,
            elem_id="extras_face_restorer",
            min_width=0,
        ),
        gr.Slider(
            share.param.minimum,
            share.param.maximum,
            share.default,
            label=share.param.label,
            step=0.05,
            elem_id="extras_face_visibility",
            min_width=0,
        ),
    )


def enlargement(pictures: PictureStore, owner: str, picture_id: str, wished: Wished, fmt: str) -> GenerationRequest:
    """The job that makes that picture larger. Blocks while it is read.

    Raises `UnknownName` for one that is not there or not the owner's, `InvalidRequest` for a factor that is no
    number and for a film in a file of its own kind.
    """
    kept = pictures.get(picture_id)
    data = pictures.read(picture_id) if kept is not None and kept.owner == owner else None
    if kept is None or data is None:
        raise UnknownName("This picture is no longer in the gallery.")
    if kept.media_type.startswith("video/"):
        raise InvalidRequest("This is a film; pictures are made larger, one at a time.")
    try:
        factor = float(wished.scale)
    except (TypeError, ValueError):
        raise InvalidRequest(f"Upscale by is {wished.scale!r}; a number is needed.") from None
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGBA" if image.has_transparency_data else "RGB").save(buffer, "PNG", compress_level=1)
    wish = EnlargeParams(
        (repack(data) or buffer.getvalue(),),
        (kept.infotext[:LONGEST_INFOTEXT],),
        upscaler=str(wished.upscaler),
        scale=factor,
        restorer=str(wished.restorer),
        restorer_share=float(wished.visibility),
    )
    return GenerationRequest(enlarge=wish, output=OutputParams(format=fmt))
