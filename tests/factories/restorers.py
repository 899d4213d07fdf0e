"""Face restorers in RestoreFormer's published layout whose effect is known: every face becomes one colour."""

from __future__ import annotations

from pathlib import Path

import torch


def write_restoreformer(path: Path, colour=(1.0, 0.0, 0.0)) -> Path:
    """Such a file, tiny; whatever face goes in, `colour` (R, G, B in [0, 1]) comes out. Folders are made."""
    from safetensors.torch import save_file
    from spandrel.architectures.RestoreFormer import RestoreFormer

    torch.manual_seed(0)
    network = RestoreFormer(
        n_embed=8, embed_dim=32, ch=32, ch_mult=(1,) * 6, num_res_blocks=1, z_channels=32, head_size=8
    )
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    tensors["decoder.conv_out.weight"] = torch.zeros_like(tensors["decoder.conv_out.weight"])
    tensors["decoder.conv_out.bias"] = torch.tensor(colour) * 2 - 1
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path
