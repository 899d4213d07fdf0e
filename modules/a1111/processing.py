"""A1111's `modules.processing`: `p`, `process_images`, `Processed`.

`process_images` draws at once, in the lane of the job that the script takes part in. What is drawn so is the script's
own: nothing is saved or shown but what it hands out.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from modules.a1111 import requests
from modules.a1111.house import HOUSE, Withheld, in_job
from modules.contracts.control import NO_CONTROL
from modules.contracts.detailer import NO_REGIONS
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.contracts.outpaint import NO_OUTPAINT
from modules.contracts.request import MAX_SEED, GenerationRequest, HiresParams, ImageParams
from modules.contracts.scripts import PictureWish
from modules.contracts.tiles import NO_SD_UPSCALE

_WORDS = {"prompt": "prompt", "negative_prompt": "negative", "seed": "seed", "subseed": "subseed"}
"""What each picture may have of its own: the field of `p`, and its name in a `PictureWish`."""


class StableDiffusionProcessing:
    """What is to be drawn, as A1111's scripts know it. Fields are the legacy names of the studio's parameters."""

    _has_image = False
    prompt: Any
    negative_prompt: Any
    seed: Any
    subseed: Any
    subseed_strength: Any
    batch_size: Any
    n_iter: Any

    def __init__(self, *unknown: Any, **given: Any) -> None:
        """One picture; fields that are not given are those of the job, without its ControlNets and second passes.

        Raises `UnsupportedFeature` outside of a job.
        """
        if unknown:
            given.setdefault("sd_model", unknown[0])
        self._begin(self._plain(in_job("A StableDiffusionProcessing").request))
        for name, value in given.items():
            setattr(self, "image_mask" if name == "mask" else name, value)

    @classmethod
    def of(cls, request: GenerationRequest) -> StableDiffusionProcessing:
        """The fields of a request."""
        kind = StableDiffusionProcessingTxt2Img if request.image is None else StableDiffusionProcessingImg2Img
        made = kind.__new__(kind)
        made._begin(request)
        return made

    def _plain(self, request: GenerationRequest) -> GenerationRequest:
        return replace(
            request,
            image=ImageParams() if self._has_image else None,
            inpaint=None,
            first_pass=b"",
            canvas=replace(request.canvas, batch_size=1, batch_count=1),
            hires=HiresParams(),
            control=NO_CONTROL,
            regions=NO_REGIONS,
            further=(),
            outpaint=NO_OUTPAINT,
            upscale=NO_SD_UPSCALE,
            each=(),
        )

    def _begin(self, base: GenerationRequest) -> None:
        self._base, self._handed = base, requests.told(base)
        vars(self).update({name: list(one) if isinstance(one, list) else one for name, one in self._handed.items()})
        self.init_images = [requests.decoded(one) for one in base.image.images] if base.image else []
        self.image_mask = requests.decoded(base.inpaint.mask) if base.inpaint and base.inpaint.mask else None
        self._shown = _bytes_of(self.init_images), _bytes_of([self.image_mask])
        self.each = base.each
        self._settled = {name: getattr(self, name) for name in _WORDS}
        self.extra_generation_params: dict[str, Any] = {}
        self.override_settings: dict[str, Any] = {}
        self.all_prompts: list[str] = []
        self.all_negative_prompts: list[str] = []
        self.all_seeds: list[int] = []
        self.all_subseeds: list[int] = []
        self.prompts: list[str] = []
        self.negative_prompts: list[str] = []
        self.seeds: list[int] = []
        self.subseeds: list[int] = []
        self.iteration = self.batch_index = 0
        self.do_not_save_samples = self.do_not_save_grid = True
        self.outpath_samples = self.outpath_grids = str(HOUSE.services.paths.outputs)
        self.scripts = self.script_args = self.modified_noise = None
        self.sampler = Withheld("p.sampler")
        self.is_hr_pass = False

    @property
    def mask(self) -> Any:
        """A1111's other name of the mask."""
        return self.image_mask

    @mask.setter
    def mask(self, value: Any) -> None:
        self.image_mask = value

    @property
    def sd_model(self) -> Any:
        """The model that draws."""
        from modules.a1111.shared import model_facts

        return model_facts(self._base.model.checkpoint)

    @sd_model.setter
    def sd_model(self, value: Any) -> None:
        """The job's model draws; another one is asked for by `override_settings`."""

    def setup_prompts(self) -> None:
        """Fill the lists of all pictures of the job from `prompt`, `seed` and the number of pictures.

        Where a script before this one gave pictures words of their own, it is from these, but for what was set since.
        """
        count = int(self.batch_size) * int(self.n_iter)
        set_since = {name for name, old in self._settled.items() if getattr(self, name) != old}
        fix_seed(self)
        self._settled = self._settled | {
            name: getattr(self, name) for name in ("seed", "subseed") if name not in set_since
        }
        step = 0 if self.subseed_strength else 1
        found: dict[str, list[Any]] = {
            "prompt": _listed(self.prompt, count),
            "negative_prompt": _listed(self.negative_prompt, count),
            "seed": [(int(self.seed) + step * place) % (MAX_SEED + 1) for place in range(count)],
            "subseed": [(int(self.subseed) + place) % (MAX_SEED + 1) for place in range(count)],
        }
        for name, attribute in _WORDS.items():
            if name not in set_since:
                own = [getattr(one, attribute) for one in self.each[:count]]
                found[name][: len(own)] = own
        self.all_prompts, self.all_negative_prompts, self.all_seeds, self.all_subseeds = found.values()

    def request(self) -> GenerationRequest:
        """What is drawn. Raises `InvalidRequest`, `UnsupportedFeature`."""
        new = {name: getattr(self, name) for name, old in self._handed.items() if getattr(self, name) != old}
        for name in ("prompt", "negative_prompt"):
            if isinstance(new.get(name), list):
                new[name] = _only(new[name], name)
        found = requests.changed(self._base, new)
        shown = _bytes_of(self.init_images), _bytes_of([self.image_mask])
        images = list(self.init_images) if shown[0] != self._shown[0] else None
        mask = self.image_mask if shown[1] != self._shown[1] else None
        if images is not None or mask is not None:
            found = requests.changed(requests.with_pictures(found, images, mask), new)
        return requests.overridden(replace(found, each=self.each), self.override_settings)

    def close(self) -> None:
        """Nothing is held."""


class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    """From words alone."""


class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    """With a picture to start from."""

    _has_image = True


class Processed:
    """What was drawn. `images` are PIL; `infotexts` stand beside them."""

    subseed: Any

    def __init__(self, p: Any, images_list: list[Any], seed: int = -1, info: str = "", **given: Any) -> None:
        self.images, self.seed, self.info = list(images_list), int(p.seed if seed == -1 else seed), info
        self.extra_images: list[Any] = []
        self.prompt, self.negative_prompt = p.prompt, p.negative_prompt
        for name in ("width", "height", "steps", "cfg_scale", "sampler_name", "batch_size", "subseed"):
            setattr(self, name, getattr(p, name))
        self.all_prompts: list[str] = given.pop("all_prompts", None) or p.all_prompts or [p.prompt]
        self.all_negative_prompts: list[str] = (
            given.pop("all_negative_prompts", None) or p.all_negative_prompts or [p.negative_prompt]
        )
        self.all_seeds: list[int] = given.pop("all_seeds", None) or p.all_seeds or [self.seed]
        self.all_subseeds: list[int] = given.pop("all_subseeds", None) or p.all_subseeds or [self.subseed]
        self.infotexts: list[str] = given.pop("infotexts", None) or [info]
        self.index_of_first_image: int = given.pop("index_of_first_image", 0)
        self.comments: str = given.pop("comments", "")
        self.extra_generation_params = dict(p.extra_generation_params)
        vars(self).update(given)

    def infotext(self, p: Any, index: int) -> str:
        """The infotext of a picture; the last one's where there is none for it."""
        return self.infotexts[min(index, len(self.infotexts) - 1)]


def process_images(p: StableDiffusionProcessing) -> Processed:
    """Draw `p`. Pictures may have prompts of their own (`p.prompt` as a list).

    Raises `UnsupportedFeature` outside of a job, `StudioError` for what cannot be drawn.
    """
    job = in_job("process_images")
    p.setup_prompts()
    job.context.infotext.update(p.extra_generation_params)
    if job.job_count:
        job.context.progress(min(job.runs, job.job_count), job.job_count)
    job.runs += 1
    pictures = job.context.generate(_request(p)).pictures
    job.drawn += pictures
    return Processed(
        p,
        [one.image for one in pictures],
        p.all_seeds[0],
        pictures[0].infotext if pictures else "",
        infotexts=[one.infotext for one in pictures],
        all_prompts=[one.prompt for one in pictures],
        all_negative_prompts=[one.negative for one in pictures],
        all_seeds=[one.seed for one in pictures],
        all_subseeds=[one.subseed for one in pictures],
    )


process_images_inner = process_images


def _request(p: StableDiffusionProcessing) -> GenerationRequest:
    """One request, whose pictures have words of their own where these differ."""
    if not p.each and len(set(p.all_prompts)) == len(set(p.all_negative_prompts)) == 1:
        return p.request()
    rows = zip(p.all_prompts, p.all_negative_prompts, p.all_seeds, p.all_subseeds, strict=True)
    each = tuple(PictureWish(*row) for row in rows)
    kept = p.prompt, p.negative_prompt
    p.prompt, p.negative_prompt = each[0].prompt, each[0].negative
    try:
        return replace(p.request(), each=each)
    finally:
        p.prompt, p.negative_prompt = kept


def fix_seed(p: StableDiffusionProcessing) -> None:
    """Choose seeds where they are open."""
    p.seed, p.subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)


def get_fixed_seed(seed: Any) -> int:
    """The seed, or a random one for -1, None and nothing."""
    if seed is None or seed == "" or int(seed) == -1:
        return secrets.randbelow(MAX_SEED + 1)
    return int(seed)


def create_infotext(p: Any, all_prompts: Any, all_seeds: Any, *positional: Any, **named: Any) -> str:
    """Raises `UnsupportedFeature`: infotext is written when a picture is finished."""
    raise UnsupportedFeature("create_infotext: infotext is written by the studio once a picture is finished.")


def create_binary_mask(image: Any, round: bool = True) -> Any:
    """A mask (L) from a picture: its transparency where it has any, else its brightness."""
    if image.mode == "RGBA" and image.getextrema()[-1] != (255, 255):
        mask = image.split()[-1]
        return mask.point(lambda value: 255 if value > 128 else 0) if round else mask
    return image.convert("L")


def _listed(value: Any, count: int) -> list[str]:
    if not isinstance(value, list):
        return [str(value)] * count
    if len(value) != count:
        raise InvalidRequest(f"p has {len(value)} prompts for {count} pictures (batch_size times n_iter).")
    return list(value)


def _only(values: list[str], name: str) -> str:
    if len(set(values)) != 1:
        raise InvalidRequest(f"p.{name} is a list of different texts, which process_images alone takes.")
    return values[0]


def _bytes_of(images: list[Any]) -> list[Any]:
    return [(one.size, one.mode, hash(one.tobytes())) if hasattr(one, "tobytes") else one for one in images]
