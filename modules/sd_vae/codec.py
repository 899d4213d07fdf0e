"""The bare call of an autoencoder and the arithmetic round it: tensors in and out, so that calls can be merged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from modules.support.latent_shape import channels_of, is_bright, is_for_films, joined_of, spreads_noise, wants_time

FILM = 5
"""Axes of a batch of films."""
Run = Callable[[Any, str, Any], Any]
"""`run(vae, "decode", z)` gives the decoder's picture tensor in -1..1; `run(vae, "encode", x)` gives what the encoder
says: mean and log-variance side by side along the channels (AutoencoderKL), or the latents (AutoencoderTiny). Both
are batch in, batch out, so whoever provides `run` may join batches of several callers and split the result."""


def run_directly(vae: Any, method: str, tensor: Any) -> Any:
    """Call the autoencoder here and now, without gradients."""
    import torch

    with torch.inference_mode():
        if method == "decode":
            return call_decoder(vae, tensor)
        if method != "encode":
            raise ValueError(f"An autoencoder can decode and encode, not {method!r}.")
        return call_encoder(vae, tensor)


def call_decoder(vae: Any, tensor: Any) -> Any:
    """What the decoder says of latents (N, C, h, w): (N, 3, H, W). Autoencoders of films get one frame, or films
    (N, C, t, h, w) and give films."""
    from torch.nn.functional import pixel_shuffle

    joined = joined_of(vae.config)
    if joined > 1:
        tensor = pixel_shuffle(tensor, joined)
    if is_bright(vae.config):
        return vae.decode(tensor, return_dict=False)[0] * 2 - 1
    if not is_for_films(vae.config):
        return vae.decode(tensor, return_dict=False)[0]
    film = tensor if tensor.ndim == FILM else tensor.unsqueeze(2)
    told = {"temb": tensor.new_zeros(len(tensor))} if wants_time(vae.config) else {}
    with same_noise(tensor.device) if spreads_noise(vae.config) else contextlib.nullcontext():
        shown = vae.decode(film, return_dict=False, **told)[0]
    return shown if tensor.ndim == FILM else shown.squeeze(2)


@contextlib.contextmanager
def same_noise(device: Any) -> Iterator[None]:
    """Torch's own generators begin at the same place and go on afterwards as if nothing had been drawn, so that what a
    module draws for itself is the same each time and for each neighbour in a batch."""
    import torch

    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


def call_encoder(vae: Any, tensor: Any) -> Any:
    """What the encoder says of pictures (N, 3, H, W), or films (N, 3, T, H, W): mean and log-variance, or latents."""
    from torch.nn.functional import pixel_unshuffle

    if is_bright(vae.config):
        return vae.encode(tensor / 2 + 0.5, return_dict=False)[0]
    films = is_for_films(vae.config) and tensor.ndim != FILM
    encoded = vae.encode(tensor.unsqueeze(2) if films else tensor, return_dict=False)[0]
    said = getattr(encoded, "parameters", encoded)
    # Means stand before variances, and stay so: both are cut alike, channel by channel.
    said = pixel_unshuffle(said, joined) if (joined := joined_of(vae.config)) > 1 else said
    return said.squeeze(2) if films else said


def latent_channels(vae: Any) -> int:
    """Channels of the latents."""
    found = channels_of(vae.config)
    if found is None:
        raise ValueError(f"{type(vae).__name__} does not say how many channels its latents have.")
    return found


def to_model(vae: Any, latents: Any) -> Any:
    """Latents as the decoder wants them, from latents as the denoiser has them."""
    mean, scale, spread = _numbers(vae, latents)
    return latents * (spread / scale) + mean


def from_model(vae: Any, latents: Any) -> Any:
    """Latents as the denoiser wants them, from latents as the encoder gives them."""
    mean, scale, spread = _numbers(vae, latents)
    return (latents - mean) * (scale / spread)


def _numbers(vae: Any, like: Any) -> tuple[Any, Any, Any]:
    """Offset, scale and per-channel spread: of the layer that evens the latents out, else from the config:
    `latents_mean` and `latents_std` where they are, else `shift_factor`; `scaling_factor` always (LDM,
    arXiv:2112.10752, section 4.3.2)."""
    import torch

    if (evened := getattr(vae, "bn", None)) is not None:
        mean, power = (
            one.to(like.device, like.dtype).view(_along(like)) for one in (evened.running_mean, evened.running_var)
        )
        return mean, 1.0, (power + vae.config.batch_norm_eps) ** 0.5
    if is_bright(vae.config):
        return 0.0, 1.0, float(vae.config.scale_factor)
    scale = float(getattr(vae.config, "scaling_factor", 1.0) or 1.0)
    mean, spread = (_evening(vae, name) for name in ("latents_mean", "latents_std"))
    if mean is None or spread is None:
        return float(getattr(vae.config, "shift_factor", None) or 0.0), scale, 1.0

    def shaped(values: Any) -> Any:
        return torch.as_tensor(values, dtype=like.dtype, device=like.device).view(_along(like))

    return shaped(mean), scale, shaped(spread)


def _evening(vae: Any, name: str) -> Any:
    """Numbers by which latents are evened out, a channel each: of the config, or kept among the weights."""
    found = getattr(vae.config, name, None)
    return vae.__dict__.get("_buffers", {}).get(name) if found is None else found


def _along(like: Any) -> tuple[int, ...]:
    """The shape of numbers that go along the channels of latents."""
    return (1, -1, *(1,) * (like.ndim - 2))


def computing_device(vae: Any) -> Any:
    """The torch device on which the autoencoder computes, wherever its weights wait.

    Offloading leaves a mark with `execution_device` on the module.
    """
    device = getattr(getattr(vae, "_hf_hook", None), "execution_device", None)
    return vae.device if device is None else device


def placed(vae: Any, tensor: Any) -> Any:
    """The tensor where and in the precision in which the autoencoder computes, offloaded or not."""
    return tensor.to(computing_device(vae), vae.dtype)
