"""Making a picture of the gallery larger: its inputs on the page, and the job that they ask for."""

from __future__ import annotations

import io
from typing import Any

import gradio as gr
from PIL import Image

from modules.contracts.catalog import Catalog
from modules.contracts.enlarging import LONGEST_INFOTEXT, EnlargeParams
from modules.contracts.errors import InvalidRequest, UnknownName
from modules.contracts.parameters import declared
from modules.contracts.pictures import PictureStore
from modules.contracts.request import GenerationRequest, OutputParams
from modules.ui.facts import choices_of


def enlarging_inputs(catalog: Catalog) -> tuple[Any, Any]:
    """Upscaler and factor, under the ids of A1111's extras tab, made from their declarations."""
    rules = {item.path[0]: item for item in declared(EnlargeParams)}
    upscaler, scale = rules["upscaler"], rules["scale"]
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
    )


def enlargement(
    pictures: PictureStore, owner: str, picture_id: str, upscaler: Any, scale: Any, fmt: str
) -> GenerationRequest:
    """The job that makes that picture larger. Blocks while it is read.

    Raises `UnknownName` for one that is not there or not the owner's, `InvalidRequest` for a factor that is no number.
    """
    kept = pictures.get(picture_id)
    data = pictures.read(picture_id) if kept is not None and kept.owner == owner else None
    if kept is None or data is None:
        raise UnknownName("This picture is no longer in the gallery.")
    try:
        factor = float(scale)
    except (TypeError, ValueError):
        raise InvalidRequest(f"Upscale by is {scale!r}; a number is needed.") from None
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGBA" if image.has_transparency_data else "RGB").save(buffer, "PNG", compress_level=1)
    wish = EnlargeParams(
        (buffer.getvalue(),), (kept.infotext[:LONGEST_INFOTEXT],), upscaler=str(upscaler), scale=factor
    )
    return GenerationRequest(enlarge=wish, output=OutputParams(format=fmt))
