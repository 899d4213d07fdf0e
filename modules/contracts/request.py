"""What a person asks for: the frozen `GenerationRequest` and its groups.

Everything optional is optional here and only here; `GenerationPlan` is the same thing with nothing left open.
Pictures travel as encoded bytes (PNG, JPEG, WebP …), never as paths.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from modules.contracts.attention import PLAIN_ATTENTION
from modules.contracts.attention import AttentionParams as AttentionParams
from modules.contracts.cache import EVERY_STEP
from modules.contracts.cache import CacheParams as CacheParams
from modules.contracts.control import NO_CONTROL
from modules.contracts.control import ControlParams as ControlParams
from modules.contracts.detailer import NO_REGIONS, PLAIN_DETAILER, Detail
from modules.contracts.detailer import DetailerParams as DetailerParams
from modules.contracts.detailer import RegionParams as RegionParams
from modules.contracts.enlarging import EnlargeParams
from modules.contracts.faces import AS_DRAWN
from modules.contracts.faces import FaceParams as FaceParams
from modules.contracts.features import PLAIN_FEATURES
from modules.contracts.features import FeatureParams as FeatureParams
from modules.contracts.film import MODELS_LIKING
from modules.contracts.film import FilmParams as FilmParams
from modules.contracts.guidance import PLAIN_GUIDANCE
from modules.contracts.guidance import GuidanceParams as GuidanceParams
from modules.contracts.handover import ONE_SAMPLER
from modules.contracts.handover import HandoverParams as HandoverParams
from modules.contracts.outpaint import NO_OUTPAINT
from modules.contracts.outpaint import OutpaintParams as OutpaintParams
from modules.contracts.parameters import Declared, declared, param
from modules.contracts.prompting import NO_WORDS
from modules.contracts.prompting import PromptParams as PromptParams
from modules.contracts.refiner import NO_REFINER
from modules.contracts.refiner import RefinerParams as RefinerParams
from modules.contracts.repainting import ImageParams as ImageParams
from modules.contracts.repainting import InpaintParams as InpaintParams
from modules.contracts.scripts import NO_SCRIPTS, PictureWish, ScriptParams
from modules.contracts.style import NO_STYLE
from modules.contracts.style import StyleParams as StyleParams
from modules.contracts.tiles import NO_SD_UPSCALE, WHOLE_CANVAS
from modules.contracts.tiles import SdUpscaleParams as SdUpscaleParams
from modules.contracts.tiles import TileParams as TileParams
from modules.contracts.tone import PLAIN_REACH, PLAIN_TONE
from modules.contracts.tone import ReachParams as ReachParams
from modules.contracts.tone import ToneParams as ToneParams

Mode = Literal["txt2img", "img2img", "inpaint", "enlarge"]
MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class CanvasParams:
    """Size and number of pictures. A size of None is the model's native one."""

    width: int | None = param(None, "Width", minimum=16, maximum=8192, step=8, legacy="width")
    height: int | None = param(None, "Height", minimum=16, maximum=8192, step=8, legacy="height")
    batch_size: int = param(
        1, "Batch size", help="Pictures drawn side by side.", minimum=1, maximum=64, step=1, legacy="batch_size"
    )
    batch_count: int = param(
        1, "Batch count", help="Batches drawn one after the other.", minimum=1, maximum=1024, step=1, legacy="n_iter"
    )
    tiling: bool = param(
        False, "Tiling", help="A picture whose edges meet.", legacy="tiling", override="tiling", infotext="Tiling"
    )


@dataclass(frozen=True, slots=True)
class SeedParams:
    """Where the noise comes from. -1 draws a seed when the plan is made."""

    seed: int = param(-1, "Seed", minimum=-1, maximum=MAX_SEED, step=1, legacy="seed", infotext="Seed")
    subseed: int = param(
        -1,
        "Variation seed",
        minimum=-1,
        maximum=MAX_SEED,
        step=1,
        legacy="subseed",
        infotext="Variation seed",
    )
    subseed_strength: float = param(
        0.0,
        "Variation strength",
        minimum=0,
        maximum=1,
        step=0.01,
        legacy="subseed_strength",
        infotext="Variation seed strength",
    )
    resize_from_width: int = param(
        0, "Resize seed from width", minimum=-1, maximum=8192, step=8, legacy="seed_resize_from_w"
    )
    resize_from_height: int = param(
        0, "Resize seed from height", minimum=-1, maximum=8192, step=8, legacy="seed_resize_from_h"
    )
    noise_offset: float = param(
        0.0,
        "Noise offset",
        help="Each channel of the noise moves by a number of its own, drawn from the seed, times this: lighter, darker "
        "and more differently coloured pictures.",
        minimum=-1,
        maximum=1,
        step=0.01,
        legacy="noise_offset",
        infotext="Noise offset",
    )


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How noise becomes a picture. None takes the model family's or the sampler's own default."""

    steps: int = param(
        20, "Steps", minimum=1, maximum=1000, step=1, legacy="steps", legacy_default=50, infotext="Steps"
    )
    sampler: str | None = param(None, "Sampler", choices="samplers", legacy="sampler_name", infotext="Sampler")
    scheduler: str | None = param(
        None, "Schedule type", choices="schedulers", legacy="scheduler", infotext="Schedule type"
    )
    cfg_scale: float | None = param(
        None,
        "CFG scale",
        help="How strongly the prompt is obeyed; 1 switches guidance off.",
        minimum=0,
        maximum=100,
        step=0.5,
        legacy="cfg_scale",
        legacy_default=7.0,
        infotext="CFG scale",
    )
    cfg_rescale: float = param(
        0.0, "CFG rescale", minimum=0, maximum=1, step=0.05, legacy="cfg_rescale", infotext="CFG rescale"
    )
    eta: float | None = param(None, "Eta", minimum=0, maximum=1, step=0.01, legacy="eta", infotext="Eta")
    s_churn: float = param(
        0.0, "Sigma churn", minimum=0, maximum=100, step=0.01, legacy="s_churn", infotext="Sigma churn"
    )
    s_tmin: float = param(0.0, "Sigma tmin", minimum=0, step=0.01, legacy="s_tmin", infotext="Sigma tmin")
    s_tmax: float | None = param(
        None, "Sigma tmax", help="None or 0 is infinity.", minimum=0, legacy="s_tmax", infotext="Sigma tmax"
    )
    s_noise: float = param(
        1.0, "Sigma noise", minimum=0, maximum=2, step=0.001, legacy="s_noise", infotext="Sigma noise"
    )
    s_min_uncond: float = param(
        0.0,
        "Negative guidance minimum sigma",
        help="Below this noise level every second model call leaves the negative prompt out; 0 is never.",
        minimum=0,
        maximum=1000,
        step=0.01,
        legacy="s_min_uncond",
        override="s_min_uncond",
        infotext="NGMS",
    )
    s_min_uncond_all: bool = param(
        False,
        "Negative guidance minimum sigma for all steps",
        help="Leave the negative prompt out of every call below that level, not of every second.",
        override="s_min_uncond_all",
        infotext="NGMS all steps",
    )


@dataclass(frozen=True, slots=True)
class HiresParams:
    """A second pass at a larger size. Zeros and None mean 'as in the first pass'."""

    enabled: bool = param(False, "Hires. fix", legacy="enable_hr")
    scale: float = param(2.0, "Upscale by", minimum=1, maximum=8, step=0.05, legacy="hr_scale")
    upscaler: str = param("Latent", "Upscaler", choices="upscalers", legacy="hr_upscaler", infotext="Hires upscaler")
    steps: int = param(
        0, "Hires steps", minimum=0, maximum=1000, step=1, legacy="hr_second_pass_steps", infotext="Hires steps"
    )
    resize_width: int = param(0, "Resize width to", minimum=0, maximum=8192, step=8, legacy="hr_resize_x")
    resize_height: int = param(0, "Resize height to", minimum=0, maximum=8192, step=8, legacy="hr_resize_y")
    denoising_strength: float = param(
        0.7, "Denoising strength", minimum=0, maximum=1, step=0.01, legacy="denoising_strength"
    )
    sampler: str | None = param(
        None, "Hires sampler", choices="samplers", legacy="hr_sampler_name", infotext="Hires sampler"
    )
    scheduler: str | None = param(
        None, "Hires schedule type", choices="schedulers", legacy="hr_scheduler", infotext="Hires schedule type"
    )
    prompt: str = param("", "Hires prompt", legacy="hr_prompt", infotext="Hires prompt")
    negative: str = param("", "Hires negative prompt", legacy="hr_negative_prompt", infotext="Hires negative prompt")
    checkpoint: str | None = param(
        None, "Hires checkpoint", choices="models", legacy="hr_checkpoint_name", infotext="Hires checkpoint"
    )


@dataclass(frozen=True, slots=True)
class ModelParams:
    """Which weights. None is the model that the settings name."""

    checkpoint: str | None = param(
        None, "Checkpoint", choices="models", legacy="sd_model_checkpoint", override="sd_model_checkpoint"
    )
    vae: str | None = param(
        None,
        "VAE",
        help="None is the checkpoint's own.",
        choices="vaes",
        legacy="sd_vae",
        override="sd_vae",
        infotext="VAE",
    )
    text_encoder: str | None = param(
        None,
        "Text encoder",
        help="A file in place of the checkpoint's encoder of the same kind and width; None is the checkpoint's own.",
        choices="text_encoders",
        legacy="sd_text_encoder",
        override="sd_text_encoder",
        infotext="Text encoder",
    )


@dataclass(frozen=True, slots=True)
class OutputParams:
    """What happens to the pictures."""

    save: bool = param(True, "Save pictures", legacy="save_images", legacy_default=False)
    format: str = param("png", "File format", choices=("png", "jpeg", "webp", "avif"), override="samples_format")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Everything one job needs to know. It carries its own settings; none is looked up elsewhere while it runs."""

    prompt: PromptParams = NO_WORDS
    canvas: CanvasParams = CanvasParams()
    seeds: SeedParams = SeedParams()
    sampling: SamplingParams = SamplingParams()
    hires: HiresParams = HiresParams()
    image: ImageParams | None = None
    inpaint: InpaintParams | None = None
    model: ModelParams = ModelParams()
    output: OutputParams = OutputParams()
    guidance: GuidanceParams = PLAIN_GUIDANCE
    enlarge: EnlargeParams | None = None
    """Finished pictures to be made larger: nothing is drawn then, and only `output` counts of the other groups."""
    first_pass: bytes = field(default=b"", repr=False)
    """A picture in place of the first pass of a hires one, encoded: only the second pass is drawn then."""
    own: tuple[tuple[str, Any], ...] = ()
    """Settings, key and value, that hold for this job in place of everybody's: its owner's, and what its call said."""
    handover: HandoverParams = ONE_SAMPLER
    control: ControlParams = NO_CONTROL
    attention: AttentionParams = PLAIN_ATTENTION
    features: FeatureParams = PLAIN_FEATURES
    refiner: RefinerParams = NO_REFINER
    tone: ToneParams = PLAIN_TONE
    reach: ReachParams = PLAIN_REACH
    style: StyleParams = NO_STYLE
    cache: CacheParams = EVERY_STEP
    regions: RegionParams = NO_REGIONS
    detailer: DetailerParams = PLAIN_DETAILER
    film: FilmParams = MODELS_LIKING
    faces: FaceParams = AS_DRAWN
    further: tuple[Detail, ...] = ()
    """Details beyond the one that `regions` and `detailer` ask for, drawn after it, in this order."""

    @property
    def steps(self) -> int:
        """Steps asked for of a pass, those of a second sampler among them."""
        return self.sampling.steps + self.handover.extra

    tiles: TileParams = WHOLE_CANVAS
    upscale: SdUpscaleParams = NO_SD_UPSCALE
    outpaint: OutpaintParams = NO_OUTPAINT
    scripts: ScriptParams = NO_SCRIPTS
    """What other people's scripts are told."""
    each: tuple[PictureWish, ...] = ()
    """What the pictures have instead of one prompt for all and seeds that follow each other: one for each, in order, or
    none at all. Scripts say it; no client does."""

    @property
    def details(self) -> tuple[Detail, ...]:
        """What is looked for and drawn once more, in order; those that are off are left out."""
        every = (Detail(self.regions, self.detailer), *self.further)
        return tuple(detail for detail in every if detail.regions.acts)

    @property
    def mode(self) -> Mode:
        """`enlarge`, `inpaint` where there is a mask or a margin, `img2img` with a picture, else `txt2img`."""
        if self.enlarge is not None:
            return "enlarge"
        if self.inpaint is not None or self.outpaint.acts:
            return "inpaint"
        return "txt2img" if self.image is None else "img2img"


GROUPS: dict[str, type] = {
    "prompt": PromptParams,
    "canvas": CanvasParams,
    "seeds": SeedParams,
    "sampling": SamplingParams,
    "guidance": GuidanceParams,
    "hires": HiresParams,
    "image": ImageParams,
    "inpaint": InpaintParams,
    "model": ModelParams,
    "output": OutputParams,
    "enlarge": EnlargeParams,
    "handover": HandoverParams,
    "control": ControlParams,
    "attention": AttentionParams,
    "features": FeatureParams,
    "refiner": RefinerParams,
    "tone": ToneParams,
    "reach": ReachParams,
    "style": StyleParams,
    "cache": CacheParams,
    "regions": RegionParams,
    "detailer": DetailerParams,
    "tiles": TileParams,
    "upscale": SdUpscaleParams,
    "outpaint": OutpaintParams,
    "film": FilmParams,
    "faces": FaceParams,
}


@cache
def parameters() -> tuple[Declared, ...]:
    """Every declared parameter of a request, group by group. Read from the groups once: each job asks several times."""
    return tuple(item for name, group in GROUPS.items() for item in declared(group, (name,)))
