"""What a picture that was made larger says of itself: infotext, and a recipe from which it can be made again."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modules.contracts.catalog import UpscalerEntry
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.infotext import parse, prompts_of
from modules.contracts.infotext_enlarged import FACES_HASH, HASH, add_to_infotext, enlarged_fields
from modules.contracts.parameters import declared
from modules.contracts.plan import EnlargePlan, Recipe
from modules.contracts.result import Picture
from modules.processing_diffusers.face_part import Faces
from modules.processing_diffusers.face_plan import describe_faces
from modules.processing_diffusers.recipe import FORMAT, find_versions
from modules.processing_diffusers.sheets import Sheet
from modules.processing_diffusers.upscaler_part import UpscalerPart

SHORT = 10
"""Digits of a hash in infotext."""


class Means(Protocol):
    """An upscaler of the job."""

    @property
    def entry(self) -> UpscalerEntry:
        """Its row in the catalogue."""

    @property
    def share(self) -> float:
        """How much of it shows."""

    @property
    def network(self) -> UpscalerPart | None:
        """The loaded network, where it is one."""


class Tools(Protocol):
    """What the job worked with."""

    @property
    def means(self) -> Sequence[Means]:
        """The upscalers."""

    @property
    def faces(self) -> Faces | None:
        """The restorer of faces, where there was one."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where the arithmetic was done."""

    version: str
    device: str
    dtype: str


def finish_enlarged(
    plan: EnlargePlan,
    number: int,
    sheets: tuple[Sheet, Sheet],
    tools: Tools,
    circumstances: Circumstances,
) -> Picture:
    """The first picture with what there is to say of it. It keeps the words of the second, of which it was made."""
    made, means = sheets[0], tools.means
    source = plan.wish.infotexts[number] if plan.wish.infotexts else ""
    prompt, negative = prompts_of(parse(source, defaults=False)) if source.strip() else ("", "")
    fields = enlarged_fields(plan.wish)
    sha256 = means[0].network.sha256 if means[0].network is not None else None
    fields[HASH] = sha256[:SHORT] if sha256 else None
    if tools.faces is not None:
        fields[FACES_HASH] = tools.faces.network.sha256[:SHORT]
    if not source.strip():
        fields |= {"Size": f"{made.image.width}x{made.image.height}", "Version": f"atelier {circumstances.version}"}
    recipe = _write_recipe(plan, number, sheets, tools, circumstances)
    infotext = add_to_infotext(source, fields)
    recipe = {**recipe, "prompt": prompt}
    return Picture(number, made.image, 0, 0, prompt, negative, infotext, recipe, deep=made.deep)


def _write_recipe(
    plan: EnlargePlan,
    number: int,
    sheets: tuple[Sheet, Sheet],
    tools: Tools,
    circumstances: Circumstances,
) -> Recipe:
    """The recipe. The given picture is described by its size and hash; its bytes stay out."""
    (made, given), means = sheets, tools.means
    networks = [each.network for each in means if each.network is not None]
    extra = {"spandrel": importlib.metadata.version("spandrel")} if networks or tools.faces else {}
    return {
        "format": FORMAT,
        "versions": {
            "atelier": circumstances.version,
            **find_versions(),
            "pillow": importlib.metadata.version("pillow"),
            **extra,
        },
        "mode": "enlarge",
        "index": number,
        "upscalers": {
            each.entry.name: {"sha256": each.network.sha256 if each.network else None, "share": each.share}
            for each in means
        },
        "faces": None if tools.faces is None else describe_faces(tools.faces.plan, tools.faces.network.sha256),
        "picture": {
            "sha256": given.digest,
            "mode": given.mode,
            "width": given.image.width,
            "height": given.image.height,
        },
        "width": made.image.width,
        "height": made.image.height,
        "device": circumstances.device,
        "precision": circumstances.dtype,
        "tiles": list(networks[0].cutting) if networks else None,
        "parameters": {f"enlarge.{key}": value for key, value in _parameters(plan.wish).items()},
    }


def summarise_enlarged(plan: EnlargePlan) -> dict[str, Any]:
    """What all pictures of the job share, by declared name."""
    return {f"enlarge.{key}": value for key, value in _parameters(plan.wish).items()}


def _parameters(wish: EnlargeParams) -> Mapping[str, Any]:
    return {item.path[0]: getattr(wish, item.path[0]) for item in declared(EnlargeParams)}
