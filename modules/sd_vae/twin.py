"""A second autoencoder in fp32 with the same weights, for results that fp16 cannot hold.

A twin rather than widening in place: the autoencoder may be decoding for another lane at the same moment.
"""

from __future__ import annotations

from typing import Any

from modules.sd_vae.codec import computing_device


def widened(vae: Any) -> Any:
    """A copy of `vae` in fp32 on the device where it computes. `vae` is not touched.

    Tiling and slicing are taken over as they are set. Changes of single layers are not: they may belong to a call of
    another lane that runs at this moment, and whoever wants them for the twin applies them to it.
    """
    import torch

    with torch.device("meta"):
        twin = type(vae).from_config(vae.config)
    place = {"device": computing_device(vae), "dtype": torch.float32}
    state = {name: tensor.to(**place, copy=True) for name, tensor in vae.state_dict().items()}
    twin.load_state_dict(state, strict=True, assign=True)
    for name, value in vars(vae).items():
        if name in ("use_slicing", "use_tiling") or name.startswith("tile_"):
            vars(twin)[name] = value
    return twin.eval().requires_grad_(False)
