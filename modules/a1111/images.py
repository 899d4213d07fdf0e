"""A1111's `modules.images`: what scripts do to finished pictures (PIL)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from PIL import Image

from modules.a1111.house import in_job, now
from modules.a1111.requests import encoded
from modules.a1111.script_callbacks import ImageGridLoopParams
from modules.contracts.control import NO_CONTROL
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.request import HiresParams

LANCZOS = Image.Resampling.LANCZOS


def image_grid(imgs: list[Any], batch_size: int = 1, rows: int | None = None) -> Any:
    """A sheet with as many rows as given, else as near to a square as can be; cells have the first picture's size.

    `on_image_grid` of the extension that asks may change the pictures, columns and rows.
    """
    if not imgs:
        raise InvalidRequest("image_grid was given no pictures.")
    high = max(min(round(math.sqrt(len(imgs))) if rows is None else int(rows), len(imgs)), 1)
    wide = math.ceil(len(imgs) / high)
    job = now()
    if job is not None:
        params = ImageGridLoopParams(list(imgs), wide, high)
        for callback in list(job.desk.callbacks.get("image_grid", ())):
            callback(params)
        imgs, wide, high = params.imgs, max(int(params.cols), 1), max(int(params.rows), 1)
    width, height = imgs[0].size
    sheet = Image.new("RGB", (wide * width, high * height), "black")
    for place, image in enumerate(imgs[: wide * high]):
        sheet.paste(image, (place % wide * width, place // wide * height))
    return sheet


def resize_image(resize_mode: int, im: Any, width: int, height: int, upscaler_name: str | None = None) -> Any:
    """The picture in that size: 0 stretched, 1 cut to fit, 2 whole, on a ground of its own stretched."""
    if upscaler_name not in (None, "None", "Lanczos"):
        factor = max(width / im.width, height / im.height)
        im = enlarged(im, factor, str(upscaler_name)) if factor > 1 else im
    if resize_mode == 0:
        return im.resize((width, height), LANCZOS)
    pick = max if resize_mode == 1 else min
    factor = pick(width / im.width, height / im.height)
    whole = im.resize((max(round(im.width * factor), 1), max(round(im.height * factor), 1)), LANCZOS)
    ground = Image.new("RGB", (width, height)) if resize_mode == 1 else im.convert("RGB").resize((width, height))
    ground.paste(whole, ((width - whole.width) // 2, (height - whole.height) // 2))
    return ground


def flatten(img: Any, bgcolor: Any) -> Any:
    """Transparency over a colour, as RGB."""
    if img.mode != "RGBA":
        return img.convert("RGB")
    ground = Image.new("RGBA", img.size, bgcolor)
    ground.alpha_composite(img)
    return ground.convert("RGB")


def read_info_from_image(image: Any) -> tuple[str | None, dict[str, Any]]:
    """The infotext in a picture, None where there is none, and what else stands in its head."""
    items = dict(image.info)
    found = items.pop("parameters", None)
    return None if found is None else str(found), items


def enlarged(image: Any, scale: float, upscaler: str) -> Any:
    """The picture made larger by one of the studio's upscalers. Raises `UnsupportedFeature` outside of a job."""
    job = in_job("An upscaler")
    wish = EnlargeParams(images=(encoded(image.convert("RGB")),), upscaler=upscaler, scale=scale)
    bare = replace(job.request, image=None, inpaint=None, hires=HiresParams(), control=NO_CONTROL)
    result = job.context.generate(replace(bare, enlarge=wish))
    return result.pictures[0].image


def save_image(image: Any, *where: Any, info: str | None = None, **how: Any) -> tuple[str, None]:
    """The picture is handed out and kept with the others of a script that owns the run; its file's name is not known.

    Raises `UnsupportedFeature` for scripts that are always on, and outside of a job.
    """
    saved = in_job("images.save_image").saved
    if saved is None:
        raise UnsupportedFeature("images.save_image: a script that is always on hands out no pictures of its own.")
    saved.append((image, info or ""))
    return "", None
