"""An autoencoder in front of which the multiplexer stands: two targets, one for each way through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.multiplexer.stand_in import Port
from modules.sd_vae.codec import Run, call_decoder, call_encoder, to_model
from modules.sd_vae.decode import decode, encode

METHODS = ("decode", "encode")


class VaePart:
    """A model's own VAE, or a separate one that a request asked for. Shared by lanes."""

    def __init__(self, module: Any, name: str = "", sha256: str | None = None) -> None:
        """`name` and `sha256` are those of the file for a separate VAE."""
        self.module = module
        self.name = name
        self.sha256 = sha256
        self.size_bytes = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
        self._targets = {method: _target(module, method) for method in METHODS}

    def decode(self, port: Port, latents: torch.Tensor, *, note: Callable[[str], None], upcast: bool) -> torch.Tensor:
        """Pictures (N, 3, H, W) in [0, 1], fp32 on the CPU, from the denoiser's latents."""
        pictures: torch.Tensor = decode(self.module, latents, run=self._run(port), note=note, upcast=upcast)
        return pictures

    def encode(
        self, port: Port, pictures: torch.Tensor, generators: Sequence[torch.Generator], *, note: Callable[[str], None]
    ) -> torch.Tensor:
        """The denoiser's latents, fp32 on the CPU, from pictures in [0, 1]; each draws from its own generator."""
        latents: torch.Tensor = encode(self.module, pictures, generators, run=self._run(port), note=note)
        return latents

    def look(
        self, port: Port, pictures: torch.Tensor, *, note: Callable[[str], None], bare: bool = True
    ) -> torch.Tensor:
        """What editing models are shown of pictures in [0, 1]: what the encoder says, without chance, fp32 on the CPU;
        `bare` is without the denoiser's scale."""
        latents: torch.Tensor = encode(self.module, pictures, run=self._run(port), mode="argmax", note=note)
        if not bare:
            return latents
        unscaled: torch.Tensor = to_model(self.module, latents)
        return unscaled

    def _run(self, port: Port) -> Run:
        def run(vae: Any, method: str, tensor: torch.Tensor) -> torch.Tensor:
            # Another module than ours is the fp32 twin that repairs one lane's result.
            target = self._targets[method] if vae is self.module else _target(vae, method)
            result: torch.Tensor = port.call(target, tensor=tensor)
            return result

        return run


def _target(module: Any, method: str) -> Target:
    function = getattr(_Calls(module), method)
    return Target(f"vae_{method}", function, module, ("tensor",))


class _Calls:
    """The two calls as functions of one tensor, batch in and batch out."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def decode(self, tensor: torch.Tensor) -> Any:
        return call_decoder(self._module, tensor)

    def encode(self, tensor: torch.Tensor) -> Any:
        return call_encoder(self._module, tensor)
