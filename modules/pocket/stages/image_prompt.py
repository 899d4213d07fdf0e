"""Stage "image_prompt": a picture as part of the prompt (IP-Adapter, arXiv:2308.06721), in that project's file format.

A small image tower makes one vector of the picture, a projection makes four tokens of the vector, and each attention
over the words gets keys and values for them beside its own. The base is frozen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from modules.pocket.sampling import MODEL
from modules.pocket.scenes.render import render
from modules.pocket.stages.base import denoising_loss, open_base
from modules.pocket.stages.folders import replace_folder, save_part, write_card
from modules.pocket.stages.lora_layers import save_tensors
from modules.pocket.stages.samples import Sample
from modules.pocket.stages.tuning import Arrays, Batches, Course, Tuning, run_course, texts_of, trained
from modules.training.journal import Budget
from modules.training.muon import Optimiser

NAME = "image-prompt"
FILE = "pocket-ip-adapter.safetensors"
TOKENS = 4
RATES = (1e-2, 1e-3)
"""Of Muon and of Adam."""
DROP_WORDS, DROP_PICTURE = 0.5, 0.1
MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""CLIP's, with which diffusers prepares pictures for an image tower."""
ABOUT = "An image prompt for the pocket model in the file format of IP-Adapter, with its image tower beside it."


class ImagePrompt(nn.Module):
    """All that is learned: the projection, the keys and values, and the tower where it is not a given one."""

    def __init__(self, unet: Any, tower: Any, learn_tower: bool) -> None:
        """For `unet`'s attentions over words, in the order of its processors. The values start at zero."""
        from diffusers.models.embeddings import ImageProjection

        super().__init__()
        width = int(unet.config.cross_attention_dim)
        self.projection = ImageProjection(int(tower.config.projection_dim), width, TOKENS)
        self.places = [name for name in unet.attn_processors if not name.endswith("attn1.processor")]
        self.attention = nn.ModuleList([_processor(unet, name, width) for name in self.places])
        self.tower = tower if learn_tower else None

    def enter(self, unet: Any) -> None:
        """Puts the keys, the values and the projection into `unet`, which is then given `image_embeds`."""
        from diffusers.models.embeddings import MultiIPAdapterImageProjection

        own = dict(zip(self.places, self.attention, strict=True))
        unet.set_attn_processor({name: own.get(name, former) for name, former in unet.attn_processors.items()})
        unet.encoder_hid_proj = MultiIPAdapterImageProjection([self.projection])
        unet.config.encoder_hid_dim_type = "ip_image_proj"

    def tensors(self) -> dict[str, torch.Tensor]:
        """float16 tensors under IP-Adapter's names: `image_proj.…`, and `ip_adapter.1.to_k_ip.weight` and so on."""
        out = {}
        for name, value in self.projection.state_dict().items():
            out[f"image_proj.{name.replace('image_embeds', 'proj')}"] = value
        for place, layer in enumerate(self.attention):
            out[f"ip_adapter.{2 * place + 1}.to_k_ip.weight"] = layer.to_k_ip[0].weight
            out[f"ip_adapter.{2 * place + 1}.to_v_ip.weight"] = layer.to_v_ip[0].weight
        return {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in out.items()}


def _processor(unet: Any, name: str, width: int) -> Any:
    from diffusers.models.attention_processor import IPAdapterAttnProcessor

    attention = unet.get_submodule(name.removesuffix(".processor"))
    made = IPAdapterAttnProcessor(attention.to_k.out_features, width, num_tokens=(TOKENS,))
    made.to_k_ip[0].weight.data.copy_(attention.to_k.weight)
    nn.init.zeros_(made.to_v_ip[0].weight)
    return made


def build_tower() -> Any:
    """A fresh image tower: 64 pixels, three layers, 96 wide, 0.4 M parameters."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=64,
        patch_size=8,
        projection_dim=128,
    )
    return CLIPVisionModelWithProjection(config)


def open_tower(folder: Path | None) -> Any:
    """The tower in `folder`, a CLIPVisionModelWithProjection, or a fresh one for None."""
    from transformers import CLIPVisionModelWithProjection

    if folder is None:
        return build_tower()
    return CLIPVisionModelWithProjection.from_pretrained(str(folder), local_files_only=True, dtype=torch.float32)


def look(tower: Any, pictures: NDArray[np.uint8], device: str) -> torch.Tensor:
    """Vectors (n, width) of pictures, uint8 (n, h, w, 3), prepared as CLIP's processor does it."""
    shown = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).to(device).float() / 255
    side = int(tower.config.image_size)
    small = functional.interpolate(shown, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)
    mean, spread = (torch.tensor(each, device=device)[:, None, None] for each in (MEAN, SPREAD))
    vectors: torch.Tensor = tower(pixel_values=(small - mean) / spread).image_embeds
    return vectors


def reference(sample: Sample, lot: np.random.Generator) -> NDArray[np.generic]:
    """Another picture of the same things on the same ground, each a little elsewhere and of another make."""
    moved = [
        replace(
            thing,
            x=float(np.clip(thing.x + lot.normal(0, 0.03), 0.05, 0.95)),
            y=float(np.clip(thing.y + lot.normal(0, 0.03), 0.05, 0.95)),
            variant=int(lot.integers(1 << 30)),
        )
        for thing in sample.scene.things
    ]
    return render(replace(sample.scene, things=tuple(moved)), sample.side)


def train_image_prompt(
    folder: Path, budget: Budget, total_seconds: float, tuning: Tuning | None = None, tower: Path | None = None
) -> dict[str, float]:
    """Trains until the budget ends, resuming from `folder`/image-prompt.pt; returns the last figures.

    `tower` is a folder with a CLIPVisionModelWithProjection, which then stays as it is; without one a small tower is
    learned along. `total_seconds` is the whole training time over all resumptions.
    """
    how = tuning or Tuning()
    base = open_base(how.base, how.device)
    torch.manual_seed(0)
    eye = open_tower(tower).to(how.device).requires_grad_(tower is None)
    prompt = ImagePrompt(base.unet, eye, tower is None).to(how.device)
    prompt.enter(base.unet)

    def loss(arrays: Arrays, lot: np.random.Generator) -> torch.Tensor:
        clean, words = base.encode(arrays[0].astype(np.uint8)), base.embed(texts_of(arrays[1]))
        kept = torch.from_numpy(lot.random(len(clean)) >= DROP_PICTURE).to(clean)[:, None]
        vectors = look(eye, arrays[2].astype(np.uint8), how.device) * kept

        def guess(noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
            said: torch.Tensor = base.unet(
                noisy,
                times,
                encoder_hidden_states=words,
                added_cond_kwargs={"image_embeds": [vectors[:, None]]},
                return_dict=False,
            )[0]
            return said

        return denoising_loss(base, clean, guess, lot)

    make = Batches(how.draw, how.sides_for(base.side), how.batch, how.scenes, DROP_WORDS, reference)
    course = Course(NAME, folder, prompt, Optimiser(prompt, *how.paced(RATES)), make, loss)
    return run_course(course, budget, total_seconds, how)


def export_image_prompt(folder: Path, target: Path, base: Path = MODEL, tower: Path | None = None) -> int:
    """Writes FILE and `image_encoder`/ into `target`, for `load_ip_adapter`; returns their bytes.

    `tower` is what it was trained with. Raises FileNotFoundError before the first checkpoint.
    """
    state = trained(folder, NAME)
    eye = open_tower(tower)
    prompt = ImagePrompt(open_base(base).unet, eye, tower is None)
    prompt.load_state_dict(state["average"])

    def write(place: Path) -> None:
        save_tensors(place / FILE, prompt.tensors(), {})
        save_part(eye, place / "image_encoder")
        if not (target / "README.md").exists():
            write_card(place / "README.md", "pocket image prompt", ABOUT, state)

    return replace_folder(target, write)
