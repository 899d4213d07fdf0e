"""What a request says of a picture to start from, and of the part of it that is drawn anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from modules.contracts.parameters import param

RESIZE_MODES = ("stretch", "crop", "fill", "latent")
FILL_MODES = ("fill", "original", "latent noise", "latent nothing")


@dataclass(frozen=True, slots=True)
class ImageParams:
    """A picture to start from."""

    images: tuple[bytes, ...] = field(default=(), repr=False)
    """Encoded pictures: one for all, or one per picture of the batch."""
    denoising_strength: float = param(
        0.75,
        "Denoising strength",
        minimum=0,
        maximum=1,
        step=0.01,
        legacy="denoising_strength",
        infotext="Denoising strength",
    )
    resize_mode: str = param("stretch", "Resize mode", choices=RESIZE_MODES, legacy="resize_mode")
    noise_multiplier: float = param(
        1.0,
        "Noise multiplier",
        minimum=0,
        maximum=1.5,
        step=0.01,
        legacy="initial_noise_multiplier",
        infotext="Noise multiplier",
    )
    edit_scale: float | None = param(
        None,
        "Image CFG scale",
        help="For models that edit by instruction: how strongly the picture is kept; None is 1.5, 1 leaves it to the "
        "CFG scale alone.",
        minimum=0,
        maximum=100,
        step=0.05,
        legacy="image_cfg_scale",
        infotext="Image CFG scale",
    )
    color_correction: bool = param(
        False,
        "Colour correction",
        help="The colours of what is drawn are brought back to those of the given picture; light and dark stay.",
        legacy="color_correction",
        override="img2img_color_correction",
        infotext="Color correction",
    )


@dataclass(frozen=True, slots=True)
class InpaintParams:
    """Which part of the picture is drawn anew. White in the mask is repainted."""

    mask: bytes = field(default=b"", repr=False)
    latent_mask: bytes = field(default=b"", repr=False)
    """What is drawn anew of the latents where that is not `mask`, which then says only what of it is shown."""
    blur: int = param(4, "Mask blur", minimum=0, maximum=256, step=1, legacy="mask_blur", infotext="Mask blur")
    blur_y: int | None = param(
        None,
        "Mask blur, vertical",
        help="None is as the horizontal one.",
        minimum=0,
        maximum=256,
        step=1,
        infotext="Mask blur y",
    )
    fill: str = param("fill", "Masked content", choices=FILL_MODES, legacy="inpainting_fill", infotext="Masked content")
    only_masked: bool = param(
        True, "Only masked", help="Work on an enlarged cut-out round the mask.", legacy="inpaint_full_res"
    )
    padding: int = param(
        32,
        "Only masked padding, pixels",
        minimum=0,
        maximum=1024,
        step=4,
        legacy="inpaint_full_res_padding",
        legacy_default=0,
        infotext="Masked area padding",
    )
    invert: bool = param(False, "Inpaint not masked", legacy="inpainting_mask_invert")
    round: bool = param(
        True,
        "Round the latent mask",
        help="Draw whole latent cells anew; without, cells under a soft edge are mixed by the share that is masked.",
        legacy="mask_round",
        infotext="Mask round",
    )
    gradual: bool = param(
        False,
        "Differential diffusion",
        help="The mask's grey says from when on a place is drawn: white from the first step, darker ones later; so "
        "each place has a strength of its own.",
        legacy="differential_diffusion",
        infotext="Differential diffusion",
    )
