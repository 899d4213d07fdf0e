"""Components of the tiny models: random weights, but the facts by which a family is known are the real ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.factories.words import END, START

CLIP_POSITIONS = 77


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random weights of this block depend on `seed` alone; the generator of the test run is left as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def clip_text(
    vocabulary: dict[str, int], width: int, *, layers: int = 2, projection: int | None = None, activation: str
) -> Any:
    """A CLIP text encoder; with `projection` the kind that gives a pooled embedding of that width."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=64,
        projection_dim=projection or width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=CLIP_POSITIONS,
        hidden_act=activation,
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5_encoder(vocabulary: int, width: int) -> Any:
    """A T5 encoder of two layers."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=width,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            is_encoder_decoder=False,
        )
    ).eval()


def unet(channels: tuple[int, ...], context: int, *, sample_size: int, in_channels: int = 4, **changes: Any) -> Any:
    """A UNet in the layout of SD 1.x: one layer a block, as many levels as `channels`."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    options: dict[str, Any] = {
        "sample_size": sample_size,
        "in_channels": in_channels,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": channels,
        "cross_attention_dim": context,
        "attention_head_dim": 8,
        "down_block_types": ("CrossAttnDownBlock2D",) * (len(channels) - 1) + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (len(channels) - 1),
    }
    return UNet2DConditionModel(**(options | changes)).eval()


def vae(*, latent_channels: int = 4, scale: float = 0.18215, shift: float | None = None, **changes: Any) -> Any:
    """An autoencoder with four levels, so that one latent cell is 8 × 8 pixels."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    options: dict[str, Any] = {
        "block_out_channels": (32, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "latent_channels": latent_channels,
        "sample_size": 64,
        "scaling_factor": scale,
        "shift_factor": shift,
    }
    return AutoencoderKL(**(options | changes)).eval()


def sd_scheduler(prediction: str = "epsilon") -> Any:
    """The noise schedule of SD 1.x, 2.x and SDXL."""
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        timestep_spacing="leading",
        steps_offset=1,
    )


def flow_scheduler(shift: float, *, dynamic: bool = False) -> Any:
    """The schedule of flow-matching models."""
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=dynamic)
