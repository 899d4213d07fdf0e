"""Low-rank layers beside frozen ones (LoRA, arXiv:2106.09685), and the two formats of file that people have.

The layers hang on forward hooks: no module is replaced and no weight touched, so taking them off leaves the model as
it was, to the bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0", ".ff.net.0.proj", ".ff.net.2", ".proj_in", ".proj_out")
CONVOLUTIONS = (".conv1", ".conv2")
"""Ends of the names of the layers that a LoRA may stand beside: of transformer blocks, and of residual blocks."""


class LowRank(nn.Module):
    """What is added to one layer's output: up(down(x)), zero at first."""

    def __init__(self, layer: Any, rank: int) -> None:
        """`layer` is a Linear or a Conv2d."""
        super().__init__()
        self.lora_down: nn.Module
        self.lora_up: nn.Module
        if isinstance(layer, nn.Conv2d):
            size, stride, edge = layer.kernel_size, layer.stride, layer.padding
            self.lora_down = nn.Conv2d(layer.in_channels, rank, size, stride, edge, bias=False)
            self.lora_up = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
        else:
            self.lora_down = nn.Linear(layer.in_features, rank, bias=False)
            self.lora_up = nn.Linear(rank, layer.out_features, bias=False)
        nn.init.zeros_(self.lora_up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape as the layer's own output."""
        added: torch.Tensor = self.lora_up(self.lora_down(x))
        return added


class Lora(nn.Module):
    """Low-rank layers for a denoiser."""

    def __init__(self, unet: Any, rank: int = 8, convolutions: bool = True, alpha: float | None = None) -> None:
        """Layers beside all of ATTENTION and, if wanted, CONVOLUTIONS. `alpha` / `rank` scales them; None: by 1."""
        super().__init__()
        self.rank, self.alpha = rank, float(rank if alpha is None else alpha)
        self.names: dict[str, str] = {}
        self.layers = nn.ModuleDict()
        ends = (*ATTENTION, *CONVOLUTIONS) if convolutions else ATTENTION
        for name, layer in unet.named_modules():
            if name.endswith(ends) and isinstance(layer, nn.Linear | nn.Conv2d):
                key = name.replace(".", "_")
                self.names[key] = name
                self.layers[key] = LowRank(layer, rank)

    @contextmanager
    def attached(self, unet: Any, scale: float = 1.0) -> Iterator[None]:
        """While inside, `unet` answers with the layers' part times `scale`."""
        factor = scale * self.alpha / self.rank
        modules = dict(unet.named_modules())
        handles = []
        for key, name in self.names.items():
            handles.append(modules[name].register_forward_hook(_adding(self.layers[key], factor)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _adding(layer: nn.Module, factor: float) -> Any:
    def add(_module: nn.Module, given: tuple[Any, ...], answer: torch.Tensor) -> torch.Tensor:
        more: torch.Tensor = answer + factor * layer(given[0])
        return more

    return add


def kohya_tensors(lora: Lora) -> dict[str, torch.Tensor]:
    """float16 tensors under the names that kohya's trainer gives them."""
    out = {}
    for key in lora.names:
        layer = lora.layers[key]
        out[f"lora_unet_{key}.lora_down.weight"] = _half(layer.lora_down.weight)
        out[f"lora_unet_{key}.lora_up.weight"] = _half(layer.lora_up.weight)
        out[f"lora_unet_{key}.alpha"] = torch.tensor(lora.alpha, dtype=torch.float16)
    return out


def peft_tensors(lora: Lora) -> dict[str, torch.Tensor]:
    """float16 tensors under the names that diffusers gives PEFT's layers; the scale is in the second of each pair."""
    out = {}
    for key, name in lora.names.items():
        layer = lora.layers[key]
        out[f"unet.{name}.lora_A.weight"] = _half(layer.lora_down.weight)
        out[f"unet.{name}.lora_B.weight"] = _half(layer.lora_up.weight * (lora.alpha / lora.rank))
    return out


def kohya_metadata(lora: Lora, title: str, words: Mapping[str, int], steps: int, base: str) -> dict[str, str]:
    """What kohya's trainer writes into the header, as far as it is true here; `words` are captions and their counts."""
    args = {"conv_dim": lora.rank, "conv_alpha": lora.alpha} if any("conv" in key for key in lora.names) else {}
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(lora.rank),
        "ss_network_alpha": str(lora.alpha),
        "ss_network_args": json.dumps(args),
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": base,
        "ss_output_name": title,
        "ss_steps": str(steps),
        "ss_tag_frequency": json.dumps({"pocket": dict(words)}),
        "sshs_model_hash": _hash(kohya_tensors(lora)),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": title,
        "modelspec.license": "Apache-2.0",
    }


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> int:
    """Writes a safetensors file that all may read; returns its bytes."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), str(path), metadata={"format": "pt", **metadata})
    path.chmod(0o644)
    return path.stat().st_size


def _hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """Of the weights alone, so that other words in the header leave it as it is."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _half(weight: torch.Tensor) -> torch.Tensor:
    return weight.detach().to("cpu", torch.float16).contiguous()
