"""IP-Adapters in memory (Ye et al., arXiv:2308.06721), and the encoders that look at pictures for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from modules.contracts.errors import BrokenModel, UnsupportedFeature
from modules.contracts.plan import Placement
from modules.control.encoders import CONFIG, KEY, LAYERS, PROJECTION, Wish, wish_of
from modules.sd_models.components import build_empty, fill, find_class, read_config
from modules.sd_models.faults import blaming
from modules.sd_models.folders import read_weights
from modules.sd_models.header import read_json
from modules.sd_models.tensors import read_tensors

MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that CLIP was trained with, channel by channel."""


class ImagePrompter(torch.nn.Module):
    """One adapter: from what an encoder says of a picture to keys and values for every cross-attention."""

    def __init__(self, projection: Any, weights: list[torch.Tensor], wish: Wish) -> None:
        """`weights` are those for keys and values of each attention in turn."""
        super().__init__()
        self.projection = projection
        self.weights = torch.nn.ParameterList(torch.nn.Parameter(one, requires_grad=False) for one in weights)
        self.wish = wish

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Keys and values in turn, each (N, tokens, width of the attention)."""
        tokens = self.projection(seen)
        return tuple(torch.nn.functional.linear(tokens, weight) for weight in self.weights)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.weights[0].dtype


def load_prompter(path: Path, placement: Placement) -> ImagePrompter:
    """Load an adapter's file onto a device. Raises `BrokenModel`."""
    from diffusers.loaders.unet import UNet2DConditionLoadersMixin

    tensors = read_tensors((path,), placement)
    wish = wish_of({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    own = {name.removeprefix(PROJECTION): one for name, one in tensors.items() if name.startswith(PROJECTION)}
    numbers = sorted(int(match[1]) for match in map(KEY.fullmatch, tensors) if match)
    names = [f"{LAYERS}{number}.{word}.weight" for number in numbers for word in ("to_k_ip", "to_v_ip")]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise BrokenModel(f"the weight {missing[0]} is missing")
    try:
        # The conversion builds the module that fits the names; it uses nothing of a denoiser.
        convert: Any = UNet2DConditionLoadersMixin._convert_ip_adapter_image_proj_to_diffusers
        projection = convert(None, own, low_cpu_mem_usage=False)
    except (RuntimeError, KeyError) as error:
        raise BrokenModel(f"its image projection does not hang together: {error!s:.200}") from error
    projection = projection.to(tensors[names[0]]).eval().requires_grad_(False)
    return ImagePrompter(projection, [tensors[name] for name in names], wish).eval()


def load_encoder(folder: Path, placement: Placement) -> Any:
    """Load an image encoder onto a device, CLIP's or SigLIP's by its config. Raises `BrokenModel`."""
    with blaming(folder.name, "weights"):
        siglip = read_json(folder / CONFIG).get("model_type") == "siglip_vision_model"
        kind = find_class("SiglipVisionModel" if siglip else "CLIPVisionModelWithProjection")
        return fill(build_empty(kind, read_config(kind, folder)), read_tensors(read_weights(folder).files, placement))


def check_layers(prompter: ImagePrompter, attentions: list[Any], adapter: str, model: str) -> None:
    """Raise `UnsupportedFeature` for an adapter that was made for other models than that with these attentions."""
    wanted = [tuple(layer.weight.shape) for one in attentions for layer in (one.to_k, one.to_v)]
    given = [tuple(weight.shape) for weight in prompter.weights]
    if wanted != given:
        raise UnsupportedFeature(
            f"The IP-Adapter {adapter} does not fit {model}: it is for {len(given) // 2} attentions of the widths "
            f"{_widths(given)}, the model has {len(wanted) // 2} of {_widths(wanted)}."
        )


def _widths(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(f"{out}x{into}" for out, into in dict.fromkeys((shape[0], shape[1]) for shape in shapes))


def see_with(encoder: Any) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """A function of `pixels`: the embedding of each picture, and what the last layer but one says of its parts."""

    def see(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = encoder(pixel_values=pixels, output_hidden_states=True)
        return found.image_embeds, found.hidden_states[-2]

    return see


def show_to(encoder: Any, image: NDArray[np.uint8]) -> torch.Tensor:
    """The picture (H, W, 3) as the encoder sees it, (1, 3, side, side): its middle, the shorter side scaled to fit."""
    side = int(encoder.config.image_size)
    picture = Image.fromarray(image)
    scale = side / min(picture.size)
    size = (max(int(picture.width * scale), side), max(int(picture.height * scale), side))
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    pixels = np.asarray(picture.crop((left, top, left + side, top + side)), np.float32) / 255.0
    shown = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    mean, spread = (torch.tensor(numbers).reshape(1, 3, 1, 1) for numbers in (MEAN, SPREAD))
    return (shown - mean) / spread
