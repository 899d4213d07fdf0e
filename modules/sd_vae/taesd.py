"""TAESD, a tiny decoder of latents (github.com/madebyollin/taesd), from a file that lies ready.

For the published latent formats files are looked for by the names under which they are published: `taesd`, `taesdxl`,
`taesd3`, `taef1`, with `_decoder` or without, as `.safetensors` or as a diffusers folder. A decoder of any other
latents says in its header which ones: `latents`, the mark of the VAE that makes them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from modules.contracts.catalog import Family, FileEntry
from modules.contracts.errors import BrokenModel
from modules.sd_vae import shape
from modules.sd_vae.load import load_vae, read_shapes

STEMS = {
    "sd": "taesd",
    "sdxl": "taesdxl",
    "kolors": "taesdxl",
    "sd3": "taesd3",
    "flux": "taef1",
    "chroma": "taef1",
    "pixart": "taesdxl",
    "zimage": "taef1",
    "lumina": "taef1",
}
"""File name by `Family.adapter`."""
MARK = "latents"
"""Key of the mark in a file's header."""
_ENCODING = ("encoder.conv_in.", "encoder.conv_out.", "quant_conv.")
"""Layers that decide what latents look like; the decoder may change without another preview."""


def find_taesd(folder: Path | None, family: Family | None, channels: int) -> Path | None:
    """The file or folder for this family, or None."""
    if folder is None or not folder.is_dir() or family is None or family.latent_channels != channels:
        return None
    stem = STEMS.get(family.adapter)
    for name in (f"{stem}_decoder.safetensors", f"{stem}.safetensors", str(stem), f"{stem}_decoder"):
        path = folder / name
        if path.is_file() or (path / "config.json").is_file():
            return path
    return None


def latent_mark(vae: Any) -> str:
    """Sixteen hex digits that tell the latents of this VAE from those of any other, whatever type it was loaded in."""
    import torch

    config = vae.config
    digest = hashlib.sha256(
        f"{getattr(config, 'scaling_factor', None) or 1.0} {getattr(config, 'shift_factor', None) or 0.0}".encode()
    )
    for name, tensor in sorted(vae.state_dict().items()):
        if name.startswith(_ENCODING):
            rounded = tensor.detach().to("cpu", torch.float32).to(torch.bfloat16).view(torch.int16)
            digest.update(name.encode() + rounded.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def find_marked(folders: Iterable[Path], vae: Any) -> Path | None:
    """The first `*.safetensors` directly in these folders whose header holds the mark of `vae`, or None."""
    from safetensors import SafetensorError, safe_open

    mark = ""
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            try:
                with safe_open(path, "pt") as file:
                    said = (file.metadata() or {}).get(MARK)
            except (OSError, SafetensorError):
                continue  # not ours to report: it may be meant for something else
            if said and said == (mark := mark or latent_mark(vae)):
                return path
    return None


def load_taesd(path: Path, channels: int, device: Any = "cpu") -> Callable[[Any], Any]:
    """A decoder from latents to pictures in [0, 1], float32 on the CPU; it computes in fp32 on `device`.

    Raises `BrokenModel` for a file that is something else, or for another latent format.
    """
    import torch

    decoder = _decoder(path)
    found = decoder.layers[0].weight.shape[1]
    if found != channels:
        raise BrokenModel(f"{path.name} decodes {found} latent channels; this model has {channels}.")
    decoder.to(device)
    lock = threading.Lock()

    def decode(latents: Any) -> Any:
        with lock, torch.no_grad():
            pictures = decoder(latents.detach().to(device, torch.float32)).cpu()
            return (pictures / 2 + 0.5).clamp(0, 1).nan_to_num(0.5)

    return decode


def _decoder(path: Path) -> Any:
    if path.is_file() and shape.layout(read_shapes(path)) == "taesd":
        return _published(path)
    vae = load_vae(FileEntry(path.stem, path, "vae-approx"), "float32", "cpu")
    if type(vae).__name__ != "AutoencoderTiny":
        raise BrokenModel(f"{path.name} is not a TAESD decoder.")
    return vae.decoder


def _published(path: Path) -> Any:
    """The decoder alone, as its author publishes it: a list of layers that counts the clamp at its start."""
    from diffusers.models.autoencoders.vae import DecoderTiny
    from safetensors.torch import load_file

    tensors = load_file(path, device="cpu")
    first = tensors["1.weight"]
    width = int(first.shape[0])
    decoder = DecoderTiny(
        in_channels=int(first.shape[1]),
        out_channels=3,
        num_blocks=(3, 3, 3, 1),
        block_out_channels=(width,) * 4,
        upsampling_scaling_factor=2,
        act_fn="relu",
        upsample_fn="nearest",
    )
    moved = {}
    for name, tensor in tensors.items():
        number, _, rest = name.partition(".")
        moved[f"layers.{int(number) - 1}.{rest}"] = tensor
    try:
        decoder.load_state_dict(moved)
    except RuntimeError as error:
        raise BrokenModel(f"{path.name} is not a TAESD decoder: {str(error).splitlines()[0]}") from error
    return decoder.eval().requires_grad_(False)
