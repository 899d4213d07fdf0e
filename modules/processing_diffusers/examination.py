"""What can be said of a request before any lane takes it: whether this installation would refuse to draw it.

The plan that a lane makes says the same and more; here nothing is decoded and no weight is touched, so that a front
is told at once, before a job is stored or charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from modules.contracts.catalog import Catalog
from modules.contracts.controls import Controls
from modules.contracts.detectors import Detectors, NoDetectors
from modules.contracts.enlarging import png_size, sizes_of
from modules.contracts.networks import Networks
from modules.contracts.refiner import find_refiner
from modules.contracts.request import GenerationRequest
from modules.networks.uses import uses_of
from modules.processing_diffusers.control_plan import find_controls
from modules.processing_diffusers.detail_plan import check_details
from modules.processing_diffusers.face_plan import plan_faces
from modules.processing_diffusers.plan import check_features, wanted_size
from modules.processing_diffusers.sizes import Size, check_enlarged, check_megapixels, check_second_pass, fit_size
from modules.processing_diffusers.tile_plan import find_sd_upscaler
from modules.prompts.tags import take_tags
from modules.support.film_files import check_film_format

OPEN = frozenset("{}|[]")
"""Signs of a name that a picture's seed or step decides."""


class Values(Protocol):
    """Settings by key."""

    def __getitem__(self, key: str) -> Any:
        """The value that holds now."""


def examine_request(
    request: GenerationRequest,
    catalog: Catalog,
    settings: Values | Mapping[str, Any],
    networks: Networks | None = None,
    controls: Controls | None = None,
    detectors: Detectors | None = None,
) -> None:
    """Raise `InvalidRequest`, `UnsupportedFeature`, `UnknownModel` or `BrokenModel` for what no lane would draw.

    Sizes of pictures that came with the request are those of their PNG heads; where one is no PNG and its size counts,
    that is left to the lane.
    """
    if request.enlarge is not None:
        most = float(settings["upscale_max_megapixels"])
        for enlarged in sizes_of(request.enlarge):
            check_enlarged(enlarged.whole, most, "The enlarged picture")
        plan_faces(request.enlarge, catalog, detectors or NoDetectors())
        return
    model = catalog.find_model(request.model.checkpoint)
    family = catalog.family(str(model.family)).drawn_with(model)
    notes: list[str] = []
    if networks is not None and not request.prompt.no_networks:
        _, tags = take_tags(request.prompt.text)
        # What is drawn from a wildcard or a choice is not known yet.
        plain = [tag for tag in tags if "__" not in tag.name and not OPEN.intersection(tag.name)]
        uses_of(plain, networks, str(settings["unknown_networks"]), notes)
    check_features(request, family, notes)
    if family.frame_factor:
        check_film_format(request.film.format)
    find_refiner(request.refiner, catalog, model, family)
    find_sd_upscaler(request, catalog)
    if controls is not None:
        find_controls(request, controls, family, notes)
    if detectors is not None:
        check_details(request, model, family, detectors)
    wanted = wanted_size(request, model, _size_of)
    if wanted is None:
        return
    size, limit = fit_size(wanted, family, notes), float(settings["max_megapixels"])
    check_megapixels(size, limit)
    if request.hires.enabled and request.image is None:
        check_second_pass(size, request.hires, family, limit, notes)


def _size_of(data: bytes) -> Size | None:
    return png_size(data)
