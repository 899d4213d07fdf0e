"""Tiny random IP-Adapters for the tiny models, in their authors' names, and a tiny image encoder that they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.factories.controls import unet_of
from tests.factories.parts import seeded

HIDDEN, EMBEDDED, SIDE = 32, 24, 32
"""Widths of the encoder's inner layers and of its embedding, and pixels of what it sees."""
TOKENS = {"plain": 4, "plus": 6, "full": 17}
"""What each kind says; the last one as many as the encoder sees parts, and one."""


def build_encoder(*, hidden: int = HIDDEN, embedded: int = EMBEDDED, seed: int = 0) -> Any:
    """An image encoder."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=hidden,
        intermediate_size=48,
        projection_dim=embedded,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=8,
    )
    with seeded(seed):
        return CLIPVisionModelWithProjection(config).eval()


def build_adapter(model: Path, kind: str = "plain", *, seed: int = 0, strength: float = 0.4) -> dict[str, Any]:
    """Tensors of an adapter for that model by their names in a file."""
    import torch

    unet = unet_of(model)
    words = unet.config.cross_attention_dim
    found = {}
    with seeded(seed):
        for name, shape in _projection(kind, words).items():
            norm = "norm" in name or name.endswith(("1.0.weight", "proj.3.weight"))
            tensor = torch.randn(shape) * (0.3 if len(shape) > 1 else 0.1)
            found[f"image_proj.{name}"] = tensor + 1 if norm and name.endswith("weight") else tensor
        number = 1
        for path, part in unet.named_modules():
            if path.endswith(".attn2"):
                for word, layer in (("k", part.to_k), ("v", part.to_v)):
                    found[f"ip_adapter.{number}.to_{word}_ip.weight"] = torch.randn_like(layer.weight) * strength
                number += 2
    return found


def nested(tensors: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same as diffusers wants it."""
    found: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        found[first][rest] = tensor
    return found


def _projection(kind: str, words: int) -> dict[str, tuple[int, ...]]:
    if kind == "plain":
        shapes = {"proj.weight": (4 * words, EMBEDDED), "proj.bias": (4 * words,)}
        return {**shapes, "norm.weight": (words,), "norm.bias": (words,)}
    if kind == "full":
        shapes = {"proj.0.weight": (HIDDEN, HIDDEN), "proj.0.bias": (HIDDEN,), "proj.2.weight": (words, HIDDEN)}
        return {**shapes, "proj.2.bias": (words,), "proj.3.weight": (words,), "proj.3.bias": (words,)}
    inner = 64
    shapes = {"latents": (1, TOKENS["plus"], inner), "proj_in.weight": (inner, HIDDEN), "proj_in.bias": (inner,)}
    shapes |= {"proj_out.weight": (words, inner), "proj_out.bias": (words,)}
    shapes |= {"norm_out.weight": (words,), "norm_out.bias": (words,)}
    for layer in range(4):
        begin = f"layers.{layer}"
        shapes |= {f"{begin}.0.norm{n}.{word}": (inner,) for n in (1, 2) for word in ("weight", "bias")}
        shapes |= {f"{begin}.0.to_q.weight": (64, inner), f"{begin}.0.to_kv.weight": (128, inner)}
        shapes |= {f"{begin}.0.to_out.weight": (inner, 64)}
        shapes |= {f"{begin}.1.0.{word}": (inner,) for word in ("weight", "bias")}
        shapes |= {f"{begin}.1.1.weight": (4 * inner, inner), f"{begin}.1.3.weight": (inner, 4 * inner)}
    return shapes
