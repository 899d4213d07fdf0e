"""Latents to colours by one matrix: published ones for known latent formats, fitted ones for every other VAE."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modules.sd_vae.decode import encode
from modules.support.atomic import write_text
from modules.support.latent_shape import factor_of
from modules.support.paths import ROOT

log = logging.getLogger(__name__)

TABLE = ROOT / "configs" / "latent-formats.json"
SIDE_CELLS = 12
PICTURES = 24
REACH = 1


@dataclass(frozen=True, slots=True)
class LinearMap:
    """RGB in [0, 1] = latents · factors + bias, per cell; latents as the denoiser has them."""

    factors: tuple[tuple[float, ...], ...]
    """One row of three numbers for each latent channel; nine rows with `reach` 1, row by row of the neighbourhood."""
    bias: tuple[float, ...]
    reach: int = 0
    """Neighbouring cells on each side that have a say."""

    def apply(self, latents: Any) -> Any:
        """(N, C, h, w) → (N, 3, h, w) float32 on the CPU, in [0, 1]."""
        import torch

        with torch.no_grad():
            cells = around(latents.detach().to("cpu", torch.float32), self.reach)
            colours = torch.einsum("nchw,cr->nrhw", cells, torch.tensor(self.factors))
            return (colours + torch.tensor(self.bias).view(1, 3, 1, 1)).clamp(0, 1).nan_to_num(0.5)


def around(latents: Any, reach: int) -> Any:
    """(N, C, h, w) → (N, C · (2 reach + 1)², h, w): every cell with its neighbours; the border repeats itself."""
    from torch.nn import functional

    if reach == 0:
        return latents
    count, _, height, width = latents.shape
    padded = functional.pad(latents, (reach,) * 4, mode="replicate")
    return functional.unfold(padded, 2 * reach + 1).view(count, -1, height, width)


def known(vae: Any, table: Path = TABLE) -> LinearMap | None:
    """The published map when this VAE's config is that of a known latent format, else None.

    The config is asked and not the model's family: a small VAE of our own may sit in a model of a known family.
    """
    for row in json.loads(table.read_text("utf-8"))["formats"]:
        if all(_same(getattr(vae.config, key, None), value) for key, value in row["match"].items()):
            return LinearMap(tuple(tuple(line) for line in row["factors"]), tuple(row["bias"]))
    return None


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float | int):
        return abs(found - wanted) < 1e-6
    return bool(list(found) == wanted) if isinstance(found, list | tuple) else bool(found == wanted)


def fitted(vae: Any, cache: Path | None = None) -> LinearMap:
    """The map fitted to this very VAE by least squares, remembered in `cache`/previews under the VAE's fingerprint.

    Pictures of flat patches and slopes of random colours are encoded, and their cell averages are regressed on the
    latents. One pass of the encoder; later calls read the file.
    """
    path = cache / "previews" / f"{fingerprint(vae)}.json" if cache is not None else None
    if path is not None and path.is_file():
        try:
            stored = json.loads(path.read_text("utf-8"))
            return LinearMap(tuple(tuple(row) for row in stored["factors"]), tuple(stored["bias"]), stored["reach"])
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s could not be read (%s); the preview is fitted again", path.name, error)
    found = fit(vae)
    if path is not None:
        write_text(path, json.dumps(asdict(found)) + "\n")
    return found


def fit(vae: Any) -> LinearMap:
    """Least squares of cell colours on latents and their neighbours, with a trace of ridge for channels that are dead.

    Neighbours because the decoder looks at them too: on the pocket model's autoencoder they take a quarter off the
    error of a map of single cells.
    """
    import torch

    factor = factor_of(vae.config) or 8
    pictures = _patches(SIDE_CELLS * factor)
    latents = torch.cat([encode(vae, part, mode="argmax") for part in pictures.split(4)])
    cells = torch.nn.functional.adaptive_avg_pool2d(pictures, latents.shape[-2:])
    inputs = around(latents, REACH).movedim(1, -1).flatten(0, 2).double()
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=inputs.dtype)], dim=1)
    targets = cells.movedim(1, -1).reshape(-1, 3).double()
    ridge = 1e-5 * len(inputs) * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    solved = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ targets)
    rows = [tuple(round(value, 6) for value in row) for row in solved.tolist()]
    return LinearMap(tuple(rows[:-1]), rows[-1], REACH)


def _patches(side: int) -> Any:
    """Random pictures in [0, 1]: a slope of colour with a few flat rectangles on it, the same ones every time."""
    import torch

    lot = torch.Generator().manual_seed(20)
    ramp = torch.linspace(0, 1, side)
    made = []
    for _ in range(PICTURES):
        start, end = torch.rand(2, 3, 1, 1, generator=lot)
        slope = ramp.view(1, 1, -1) if torch.rand((), generator=lot) < 0.5 else ramp.view(1, -1, 1)
        picture = (start + (end - start) * slope).expand(3, side, side).clone()
        for _ in range(4):
            top, left = (int(torch.randint(0, side * 2 // 3, (), generator=lot)) for _ in range(2))
            size = int(torch.randint(side // 4, side // 2, (), generator=lot))
            picture[:, top : top + size, left : left + size] = torch.rand(3, 1, 1, generator=lot)
        made.append(picture)
    return torch.stack(made)


def fingerprint(vae: Any) -> str:
    """Sixteen hex digits of the config and of the layers next to pictures and latents; any training changes them."""
    import torch

    config = {key: value for key, value in dict(vae.config).items() if not key.startswith("_")}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, tensor in sorted(_edges(vae).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _edges(vae: Any) -> Mapping[str, Any]:
    words = ("conv_in", "conv_out", "quant_conv", "layers.0.")
    return {name: tensor for name, tensor in vae.state_dict().items() if any(word in name for word in words)}
