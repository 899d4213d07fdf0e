"""Small autoencoders for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch

from tests.factories import parts


def tiny(channels: int = 4, width: int = 8) -> Any:
    """A random AutoencoderTiny, eight pixels a cell."""
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    with parts.seeded(6):
        return AutoencoderTiny(
            latent_channels=channels,
            encoder_block_out_channels=(width,) * 4,
            decoder_block_out_channels=(width,) * 4,
        ).eval()


def faithful() -> Any:
    """An AutoencoderTiny wired by hand so that each latent cell is a mixture of the colours of one of its pixels."""
    vae = tiny()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in vae.encoder.parameters():
            weight.zero_()
        layers = [layer for layer in vae.encoder.layers if isinstance(layer, torch.nn.Conv2d)]
        for layer in layers[:-1]:
            for colour in range(3):
                layer.weight[colour, colour, 1, 1] = 1
        layers[-1].weight[:, :3, 1, 1] = torch.randn(4, 3, generator=generator)
    return vae


KINDS: dict[str, dict[str, Any]] = {
    "sd15": {},
    "sdxl": {"scale": 0.13025, "force_upcast": True},
    "playground": {"scale": 0.5, "latents_mean": [0.1, -0.2, 0.3, 0.4], "latents_std": [1.0, 2.0, 0.5, 1.5]},
    "sd3": {
        "latent_channels": 16,
        "scale": 1.5305,
        "shift": 0.0609,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
}


def kind(name: str) -> Any:
    """A fresh one of each kind that the studio decodes with; the same weights every time."""
    if name == "tiny":
        return tiny()
    with parts.seeded(5):
        return parts.vae(**KINDS[name])


def solid(colour: tuple[float, float, float], side: int = 64, count: int = 1) -> torch.Tensor:
    """Pictures of one colour, (count, 3, side, side) in [0, 1]."""
    return torch.tensor(colour).view(1, 3, 1, 1).expand(count, 3, side, side).clone()


def scene(side: int = 64, count: int = 1) -> torch.Tensor:
    """Different random pictures."""
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(8))


def overflowing() -> Any:
    """An fp16 autoencoder whose decoder leaves the range of fp16 for bright latents and does not in fp32."""
    with parts.seeded(5):
        vae = parts.vae(scale=1.0)
    with torch.no_grad():
        vae.decoder.conv_in.weight.mul_(0)
        vae.decoder.conv_in.weight[:, :, 1, 1] = 40_000.0
        vae.decoder.conv_in.bias.zero_()
    return vae.half()
