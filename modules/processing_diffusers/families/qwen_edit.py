"""Qwen-Image-Edit: the reader sees the picture to change beside the instruction, and the denoiser sees its latents.

Wu et al., Qwen-Image Technical Report (arXiv:2508.02324), section 4.3.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from PIL import Image

from modules.contracts.catalog import Family
from modules.processing_diffusers.families.base import Embedding
from modules.processing_diffusers.families.qwen import ANSWER, QwenImageAdapter
from modules.processing_diffusers.tensors import to_tensor

EXPLAIN = (
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size, texture, objects, "
    "background), then explain how the user's text instruction should alter or modify the image. Generate a new image "
    "that meets the user's requirements while maintaining consistency with the original input where appropriate."
    "<|im_end|>\n<|im_start|>user\n"
)
"""What stands before picture and instruction in training; the denoiser does not see it."""
SEEN = "<|vision_start|>{pads}<|vision_end|>"
PAD = "<|image_pad|>"
"""Stands for one token of a picture."""
GRAIN, JOINED, FRAMES = 14, 2, 2
"""Pixels of one patch that Qwen2.5-VL sees, patches of one token along each side, and frames of a patch."""
MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""By which its vision was trained to see colours, as CLIP's."""


class QwenEditAdapter(QwenImageAdapter):
    """Talks to `QwenImagePipeline` and shows reader and denoiser the picture to change."""

    sees: ClassVar[bool] = True
    before: ClassVar[str] = EXPLAIN
    introduction: ClassVar[str] = ""
    """What stands before the picture in the question."""
    area: ClassVar[int] = 1024 * 1024
    """Pixels of the picture that the reader sees; a smaller one is not made larger."""

    def pipeline_name(self, family: Family) -> str:
        """The plain one, as the picture is shown here."""
        return "QwenImagePipeline"

    def embed_seeing(self, pipeline: Any, text: str, picture: Image.Image) -> Embedding:
        """What the reader makes of the picture and the instruction."""
        tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
        pixels, grid = grains_of(picture, self.area)
        pads = PAD * (len(pixels) // JOINED**2)
        question = self.before + self.introduction + SEEN.format(pads=pads) + (text or " ") + ANSWER
        unseen = len(tokenizer(self.before).input_ids)
        ids = tokenizer(question, return_tensors="pt").input_ids.to(encoder.device)
        return self.fill_up(encoder(input_ids=ids, pixels=pixels[None], grid=grid[None])[0][0, unseen:])

    def hear(self, encoder: Any, **arguments: Any) -> Any:
        """The last layer alone; `pixels` (B, patches, numbers) and `grid` (B, 3) are of one picture for each text."""
        ids, pixels, grid = arguments["input_ids"], arguments["pixels"], arguments["grid"]
        said = encoder(
            input_ids=ids,
            pixel_values=pixels.flatten(0, 1),
            image_grid_thw=grid,
            mm_token_type_ids=(ids == encoder.config.image_token_id).int(),
            use_cache=False,
        )
        return (said.last_hidden_state,)

    def show(self, arguments: dict[str, Any], seen: torch.Tensor) -> dict[str, Any]:
        """Tokens of the picture behind those drawn, and its size."""
        drawn, sizes = arguments["hidden_states"], arguments["img_shapes"]
        return {
            **arguments,
            "hidden_states": torch.cat([drawn, self.pack(seen).to(drawn)], dim=1),
            "img_shapes": (*sizes, *sizes),
            "drawn": drawn.shape[1],
        }

    def run(self, denoiser: Any, **arguments: Any) -> Any:
        """The forward, and of its answer the tokens that are drawn."""
        drawn = arguments.pop("drawn", None)
        return (super().run(denoiser, **arguments)[0][:, :drawn],)


class QwenEditPlusAdapter(QwenEditAdapter):
    """The later models, whose pictures are counted and seen small."""

    introduction: ClassVar[str] = "Picture 1: "
    area: ClassVar[int] = 384 * 384


def grains_of(picture: Image.Image, area: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The picture as Qwen2.5-VL's vision takes it: patches (count, numbers), in the order in which four are joined to
    a token, and how many there are of them (frames, down, across)."""
    cell = GRAIN * JOINED
    scale = min(1.0, math.sqrt(area / (picture.width * picture.height)))
    width, height = (max(round(side * scale / cell), 1) * cell for side in picture.size)
    sized = picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.BICUBIC)
    pixels = to_tensor([sized])[0].float()
    pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SPREAD).view(3, 1, 1)
    down, across = height // GRAIN, width // GRAIN
    cut = pixels.reshape(3, down // JOINED, JOINED, GRAIN, across // JOINED, JOINED, GRAIN)
    ordered = cut.permute(1, 4, 2, 5, 0, 3, 6).reshape(down * across, 3, 1, GRAIN**2)
    return ordered.expand(-1, -1, FRAMES, -1).reshape(down * across, -1), torch.tensor([1, down, across])
