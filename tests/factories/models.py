"""Tiny random models as diffusers folders, one function a family.

Weights are random but depend on nothing but the family, so two builds are equal. What a family is known by is real
(context width 768, 1024 or 2048, input channels 4 or 9, the tables of SD3 and Flux); everything else is as small as
the layout allows. One latent cell is 8 × 8 pixels and the native size is 64 pixels. `fp16` saves the weights in half
precision as the `fp16` variant; `shard` splits files above that many bytes and writes an index.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.factories import parts
from tests.factories.words import save_clip_tokenizer, save_t5_tokenizer

SIDE = 64
LATENT = SIDE // 8
SD_CHANNELS = (32, 32, 64, 64)


def save(folder: Path, pipeline: str, components: dict[str, Any], *, fp16: bool, shard: int | None) -> Path:
    """Write the components and `model_index.json`. A component given as (library, class) has its folder already."""
    index: dict[str, Any] = {"_class_name": pipeline, "_diffusers_version": "0.42.1"}
    for name, part in components.items():
        if part is None or isinstance(part, bool | tuple):
            index[name] = list(part) if isinstance(part, tuple) else part
            continue
        home = type(part).__module__.split(".")
        # Classes that belong to one pipeline are named by it.
        library = home[2] if home[1] == "pipelines" else home[0]
        index[name] = [library, type(part).__name__]
        options: dict[str, Any] = {}
        if hasattr(part, "parameters"):
            part = part.half() if fp16 else part
            options = {"variant": "fp16" if fp16 else None, "max_shard_size": shard or "10GB"}
        part.save_pretrained(folder / name, **options)
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), "utf-8")
    return folder


CLIP_TOKENIZER = ("transformers", "CLIPTokenizer")
T5_TOKENIZER = ("transformers", "T5Tokenizer")
NO_PART = (None, None)
NO_CHECKER = {"safety_checker": NO_PART, "feature_extractor": NO_PART, "requires_safety_checker": False}


def _sd(
    folder: Path,
    seed: int,
    *,
    in_channels: int,
    fp16: bool,
    shard: int | None,
    pipeline: str = "StableDiffusionPipeline",
) -> Path:
    words = save_clip_tokenizer(folder / "tokenizer")
    with parts.seeded(seed):
        components = {
            "text_encoder": parts.clip_text(words, 768, activation="quick_gelu"),
            "tokenizer": CLIP_TOKENIZER,
            "unet": parts.unet(SD_CHANNELS, 768, sample_size=LATENT, in_channels=in_channels),
            "vae": parts.vae(),
            "scheduler": parts.sd_scheduler(),
        }
    return save(folder, pipeline, components | NO_CHECKER, fp16=fp16, shard=shard)


def tiny_sd15(folder: Path, *, fp16: bool = False, shard: int | None = None, seed: int = 15) -> Path:
    """Stable Diffusion 1.5. Another `seed` gives another model of the same shape."""
    return _sd(folder, seed, in_channels=4, fp16=fp16, shard=shard)


def tiny_sd15_inpaint(folder: Path, *, fp16: bool = False, shard: int | None = None) -> Path:
    """Stable Diffusion 1.5 for inpainting: the denoiser takes nine channels."""
    pipeline = "StableDiffusionInpaintPipeline"
    return _sd(folder, 159, in_channels=9, fp16=fp16, shard=shard, pipeline=pipeline)


def tiny_sd15_edit(folder: Path, *, fp16: bool = False, shard: int | None = None) -> Path:
    """InstructPix2Pix: the denoiser takes eight channels."""
    pipeline = "StableDiffusionInstructPix2PixPipeline"
    return _sd(folder, 158, in_channels=8, fp16=fp16, shard=shard, pipeline=pipeline)


def tiny_sd2(
    folder: Path,
    *,
    prediction: str = "v_prediction",
    in_channels: int = 4,
    fp16: bool = False,
    shard: int | None = None,
) -> Path:
    """Stable Diffusion 2.1: context width 1024, v-prediction; `in_channels` 9 is the one for inpainting."""
    words = save_clip_tokenizer(folder / "tokenizer", pad="!")
    channels, heads = (64, 64, 64, 64), (1, 1, 1, 1)
    with parts.seeded(21):
        components = {
            "text_encoder": parts.clip_text(words, 1024, activation="gelu"),
            "tokenizer": CLIP_TOKENIZER,
            "unet": parts.unet(
                channels,
                1024,
                sample_size=LATENT,
                in_channels=in_channels,
                attention_head_dim=heads,
                use_linear_projection=True,
            ),
            "vae": parts.vae(),
            "scheduler": parts.sd_scheduler(prediction),
        }
    pipeline = "StableDiffusionPipeline" if in_channels == 4 else "StableDiffusionInpaintPipeline"
    return save(folder, pipeline, components | NO_CHECKER, fp16=fp16, shard=shard)


def tiny_sdxl(folder: Path, *, in_channels: int = 4, fp16: bool = False, shard: int | None = None) -> Path:
    """Stable Diffusion XL: two text encoders, 768 and 1280 wide, size conditioning; for inpainting nine channels."""
    words = save_clip_tokenizer(folder / "tokenizer")
    save_clip_tokenizer(folder / "tokenizer_2", pad="!")
    with parts.seeded(10):
        components = {
            "text_encoder": parts.clip_text(words, 768, activation="quick_gelu"),
            "text_encoder_2": parts.clip_text(words, 1280, projection=1280, activation="gelu"),
            "tokenizer": CLIP_TOKENIZER,
            "tokenizer_2": CLIP_TOKENIZER,
            "unet": parts.unet(
                (64, 64, 128),
                2048,
                sample_size=LATENT,
                in_channels=in_channels,
                attention_head_dim=(1, 1, 2),
                use_linear_projection=True,
                transformer_layers_per_block=(1, 1, 2),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=1280 + 6 * 256,
            ),
            "vae": parts.vae(scale=0.13025, force_upcast=True),
            "scheduler": parts.sd_scheduler(),
            "image_encoder": NO_PART,
            "feature_extractor": NO_PART,
            "force_zeros_for_empty_prompt": True,
        }
    pipeline = "StableDiffusionXLPipeline" if in_channels == 4 else "StableDiffusionXLInpaintPipeline"
    return save(folder, pipeline, components, fp16=fp16, shard=shard)


def tiny_sdxl_refiner(folder: Path) -> Path:
    """An SDXL refiner: the second text encoder alone, and five numbers of size conditioning."""
    words = save_clip_tokenizer(folder / "tokenizer_2", pad="!")
    with parts.seeded(11):
        components = {
            "text_encoder": NO_PART,
            "text_encoder_2": parts.clip_text(words, 1280, projection=1280, activation="gelu"),
            "tokenizer": NO_PART,
            "tokenizer_2": CLIP_TOKENIZER,
            "unet": parts.unet(
                (64, 64, 64, 64),
                1280,
                sample_size=8,
                attention_head_dim=(1, 1, 1, 1),
                use_linear_projection=True,
                transformer_layers_per_block=1,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=1280 + 5 * 256,
            ),
            "vae": parts.vae(scale=0.13025),
            "scheduler": parts.sd_scheduler(),
        }
    return save(folder, "StableDiffusionXLImg2ImgPipeline", components, fp16=False, shard=None)


def tiny_sd3(
    folder: Path,
    *,
    t5: bool = True,
    medium: bool = False,
    channels: int = 16,
    fp16: bool = False,
    shard: int | None = None,
) -> Path:
    """Stable Diffusion 3: three text encoders (two without T5), sixteen latent channels, flow matching.

    `medium` is the layout of SD 3.5 medium: normalised queries and keys, a second attention in the first block.
    Another number of `channels` is that of a small model in the same layout.
    """
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    words = save_clip_tokenizer(folder / "tokenizer")
    save_clip_tokenizer(folder / "tokenizer_2", pad="!")
    pieces = save_t5_tokenizer(folder / "tokenizer_3") if t5 else 0
    with parts.seeded(3):
        components = {
            "text_encoder": parts.clip_text(words, 32, projection=32, activation="quick_gelu"),
            "text_encoder_2": parts.clip_text(words, 32, projection=32, activation="gelu"),
            "text_encoder_3": parts.t5_encoder(pieces, 64) if t5 else NO_PART,
            "tokenizer": CLIP_TOKENIZER,
            "tokenizer_2": CLIP_TOKENIZER,
            "tokenizer_3": T5_TOKENIZER if t5 else NO_PART,
            "transformer": SD3Transformer2DModel(
                sample_size=LATENT,
                patch_size=2,
                in_channels=channels,
                out_channels=channels,
                num_layers=2,
                attention_head_dim=8,
                num_attention_heads=4,
                joint_attention_dim=64,
                caption_projection_dim=32,
                pooled_projection_dim=64,
                pos_embed_max_size=32,
                qk_norm="rms_norm" if medium else None,
                dual_attention_layers=(0,) if medium else (),
            ).eval(),
            "vae": flow_vae(channels, scale=1.5305, shift=0.0609),
            "scheduler": parts.flow_scheduler(3.0),
            "image_encoder": NO_PART,
            "feature_extractor": NO_PART,
        }
    return save(folder, "StableDiffusion3Pipeline", components, fp16=fp16, shard=shard)


def tiny_flux(
    folder: Path,
    *,
    guidance: bool = True,
    shown: int = 0,
    pipeline: str = "FluxPipeline",
    fp16: bool = False,
    shard: int | None = None,
) -> Path:
    """Flux.1: `guidance` True is the layout of dev, False that of schnell. `shown` channels stand behind those drawn;
    by its `pipeline` Kontext is told from dev."""
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    words = save_clip_tokenizer(folder / "tokenizer")
    pieces = save_t5_tokenizer(folder / "tokenizer_2")
    with parts.seeded(1):
        components = {
            "text_encoder": parts.clip_text(words, 32, activation="quick_gelu"),
            "text_encoder_2": parts.t5_encoder(pieces, 32),
            "tokenizer": CLIP_TOKENIZER,
            "tokenizer_2": T5_TOKENIZER,
            "transformer": FluxTransformer2DModel(
                patch_size=1,
                in_channels=64 + shown,
                out_channels=64,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=32,
                pooled_projection_dim=32,
                guidance_embeds=guidance,
                axes_dims_rope=(4, 6, 6),
            ).eval(),
            "vae": flow_vae(16, scale=0.3611, shift=0.1159),
            "scheduler": parts.flow_scheduler(3.0 if guidance else 1.0, dynamic=guidance),
            "image_encoder": NO_PART,
            "feature_extractor": NO_PART,
        }
    return save(folder, pipeline, components, fp16=fp16, shard=shard)


def flow_vae(channels: int, *, scale: float, shift: float) -> Any:
    """The autoencoder of a flow model."""
    quant = {"use_quant_conv": False, "use_post_quant_conv": False}
    return parts.vae(latent_channels=channels, scale=scale, shift=shift, **quant)
