"""From latents to pictures and back, with the VAE's own scale, and once more in fp32 when the result is not finite."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

from modules.contracts.errors import InvalidRequest, StudioError
from modules.sd_vae.codec import FILM, Run, from_model, latent_channels, placed, run_directly, to_model
from modules.sd_vae.twin import widened

log = logging.getLogger(__name__)
Note = Callable[[str], None]
Posterior = Literal["sample", "argmax"]


def _silent(text: str) -> None:
    """The note of a caller who wants none."""


def decode(vae: Any, latents: Any, *, run: Run = run_directly, note: Note = _silent, upcast: bool = True) -> Any:
    """Pictures from latents: (N, C, h, w) as the denoiser leaves them → (N, 3, H, W) float32 on the CPU, in [0, 1].
    Of films, both have an axis for time behind the channels.

    Samples that come out with NaN or infinity are decoded again by an fp32 twin of the VAE (`upcast`), and `note`
    hears of it; the VAE itself is never changed. Raises `InvalidRequest` for latents with the wrong number of channels
    and `StudioError` when the result is still not finite.
    """
    _check(vae, latents)
    with _no_gradients():
        tensor = to_model(vae, latents.float())
        pictures = _finite(vae, "decode", tensor, run, note if upcast else None)
        return (pictures / 2 + 0.5).clamp(0, 1)


def encode(
    vae: Any,
    images: Any,
    generators: Sequence[Any] = (),
    *,
    run: Run = run_directly,
    mode: Posterior = "sample",
    note: Note = _silent,
    upcast: bool = True,
) -> Any:
    """Latents from pictures: (N, 3, H, W) in [0, 1] → (N, C, h, w) float32 on the CPU, scaled for the denoiser.

    With `sample` each picture takes its noise from its own CPU generator, so its latents do not depend on the batch;
    `argmax` takes the mean and needs none. An autoencoder without a posterior (AutoencoderTiny) ignores both. Raises
    `ValueError` when generators and pictures differ in number, `StudioError` when the result is not finite.
    """
    with _no_gradients():
        said = _finite(vae, "encode", images.float() * 2 - 1, run, note if upcast else None)
        channels = latent_channels(vae)
        if said.shape[1] == channels:
            return from_model(vae, said)
        mean, spread = said[:, :channels], said[:, channels:]
        if mode == "argmax":
            return from_model(vae, mean)
        if len(generators) != len(said):
            raise ValueError(f"{len(said)} pictures need as many generators; {len(generators)} were given.")
        return from_model(vae, mean + (spread.clamp(-30, 20) / 2).exp() * _noise(mean, generators))


def _noise(like: Any, generators: Sequence[Any]) -> Any:
    import torch

    return torch.stack([torch.randn(like.shape[1:], generator=one, dtype=torch.float32) for one in generators])


def _no_gradients() -> Any:
    import torch

    return torch.no_grad()


def _check(vae: Any, latents: Any) -> None:
    channels = latent_channels(vae)
    if latents.ndim not in (4, FILM) or latents.shape[1] != channels:
        raise InvalidRequest(
            f"The latents have the shape {tuple(latents.shape)}; this VAE takes (pictures, {channels}, height, width)."
        )


def _finite(vae: Any, method: str, tensor: Any, run: Run, note: Note | None) -> Any:
    """Run the call; the result as float32 on the CPU. With `note`, samples that are not finite run again in fp32."""
    import torch

    result = run(vae, method, placed(vae, tensor)).to("cpu", torch.float32)
    bad = ~torch.isfinite(result).flatten(1).all(1)
    if not bad.any():
        return result
    precision = str(vae.dtype).removeprefix("torch.")
    if note is not None and vae.dtype.itemsize < torch.float32.itemsize:
        text = f"The VAE gave values that are not finite in {precision}; {method}d again in float32."
        log.warning("%s", text)
        note(text)
        twin = widened(vae)
        # A copy: the first result may be an inference tensor, which cannot be written to.
        result = result.clone()
        result[bad] = run(twin, method, placed(twin, tensor[bad])).to("cpu", torch.float32)
        bad = ~torch.isfinite(result).flatten(1).all(1)
        precision = "float32"
    if bad.any():
        source = "the latents hold" if not torch.isfinite(tensor).all() else "it makes"
        raise StudioError(
            f"The VAE cannot {method} {int(bad.sum())} of {len(bad)} pictures: {source} NaN or infinity "
            f"in {precision}; try another VAE, another checkpoint or --no-half."
        )
    return result
