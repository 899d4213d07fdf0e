"""Reading weights out of safetensors files straight into the wanted device and precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from modules.contracts.errors import BrokenModel, reason_of
from modules.contracts.plan import Placement

Advance = Callable[[int], None]
"""Called with the number of bytes that were read."""


def dtype_of(placement: Placement) -> torch.dtype:
    """The torch type that a placement names. Raises `ValueError` for a name that torch does not have."""
    dtype = getattr(torch, placement.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{placement.dtype!r} is no torch dtype")
    return dtype


def read_tensors(
    files: Iterable[Path],
    placement: Placement,
    *,
    rename: Callable[[str], str | None] = lambda name: name,
    keep_float32: tuple[str, ...] = (),
    advance: Advance = lambda count: None,
) -> dict[str, torch.Tensor]:
    """The tensors of the files for which `rename` gives a name, under that name.

    Floating ones are converted to the placement's type, or kept in 32 bits when their name contains a word of
    `keep_float32`. All are copies: the files may change or go afterwards. Raises `BrokenModel` when a file cannot be
    read; errors of the device, such as running out of memory, pass through.
    """
    found: dict[str, torch.Tensor] = {}
    for file in files:
        for name, tensor in _open(file, rename):
            advance(tensor.numel() * tensor.element_size())
            found[name] = _place(tensor, placement, any(word in name.split(".") for word in keep_float32))
    return found


def _open(file: Path, rename: Callable[[str], str | None]) -> Iterable[tuple[str, torch.Tensor]]:
    try:
        with safe_open(file, framework="pt") as content:
            for key in content.keys():  # noqa: SIM118 - not a dict; it has no iterator
                name = rename(key)
                if name is not None:
                    yield name, content.get_tensor(key)
    except (OSError, ValueError, _safetensors_error()) as error:
        # The reader's own words for a file that is gone hold its whole path, which is nobody's business.
        raise BrokenModel(f"{file.name} cannot be read: {reason_of(error)}.") from error


def _safetensors_error() -> type[Exception]:
    from safetensors import SafetensorError

    kind: type[Exception] = SafetensorError
    return kind


def _place(tensor: torch.Tensor, placement: Placement, keep_float32: bool) -> torch.Tensor:
    dtype = tensor.dtype
    if tensor.is_floating_point():
        dtype = torch.float32 if keep_float32 else dtype_of(placement)
    return tensor.to(device=placement.device, dtype=dtype, copy=True)


def total_bytes(sizes: Mapping[str, Any]) -> int:
    """Bytes of the tensors of a header, by its own offsets."""
    return sum(info.stop - info.start for info in sizes.values())


def group_of(part: str) -> str:
    """The group of a part, by which placements are given."""
    if part in ("unet", "transformer", "prior", "decoder"):
        return "denoiser"
    return "vae" if part == "vae" else "text_encoder"


def kept_in_float32(kind: Any, placement: Placement) -> tuple[str, ...]:
    """Words in the names of weights that a class wants in 32 bits when it is loaded in 16: those of transformers, in
    fp16 alone, as they overflow there; those of diffusers, in bf16, too."""
    short = ("float16", "bfloat16") if str(kind.__module__).startswith("diffusers.") else ("float16",)
    if placement.dtype not in short:
        return ()
    return tuple(getattr(kind, "_keep_in_fp32_modules", None) or ())
