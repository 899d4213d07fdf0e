"""Networks made for tests: low-rank changes of the pocket model whose effect is known beforehand."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.factories.pocket import POCKET

RANK = 12
RIDGE = 0.1


def pocket_parts():
    """The pocket model's UNet, text encoder and tokenizer, in fp32."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    unet = UNet2DConditionModel.from_pretrained(POCKET / "unet", torch_dtype=torch.float32)
    encoder = CLIPTextModel.from_pretrained(POCKET / "text_encoder", dtype=torch.float32)
    return unet, encoder, CLIPTokenizer.from_pretrained(POCKET / "tokenizer")


def read_text(text, encoder, tokenizer):
    """What the encoder says of a text: (tokens, width)."""
    ids = tokenizer(text, padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt").input_ids
    with torch.no_grad():
        return encoder(ids).last_hidden_state[0]


def recolour(parts, said="red", meant="blue"):
    """Changes of all cross-attention keys and values by which the model reads one colour as another.

    The least change for which W' a = W b holds for the readings a and b of texts that differ in the colour only, as in
    TIME (arXiv:2303.08084, equation 2), cut to RANK by SVD. By path of the layer: up, down.
    """
    unet, encoder, tokenizer = parts
    texts = [f"a {{}} {shape} on a {ground} background" for shape in ("circle", "square") for ground in ("white",)]
    given = torch.cat([read_text(text.format(said), encoder, tokenizer) for text in texts]).T
    wanted = torch.cat([read_text(text.format(meant), encoder, tokenizer) for text in texts]).T
    inverse = given.T @ torch.linalg.inv(given @ given.T + RIDGE * torch.eye(given.shape[0]))
    found = {}
    for path, layer in unet.named_modules():
        if path.endswith(("attn2.to_k", "attn2.to_v")):
            left, values, right = torch.linalg.svd(layer.weight.detach() @ (wanted - given) @ inverse)
            root = values[:RANK].sqrt()
            found[path] = (left[:, :RANK] * root, root[:, None] * right[:RANK])
    return found


def save_kohya(path: Path, pairs, metadata=None, alpha=None):
    """A file as kohya's trainer writes it."""
    tensors = {}
    for name, (up, down) in pairs.items():
        stem = "lora_unet_" + name.replace(".", "_")
        tensors[f"{stem}.lora_up.weight"] = up.contiguous()
        tensors[f"{stem}.lora_down.weight"] = down.contiguous()
        tensors[f"{stem}.alpha"] = torch.tensor(float(down.shape[0] if alpha is None else alpha))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata=metadata)
    return path
