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
    device = computing_device(vae)
    state = {name: tensor.to(device=device, dtype=torch.float32, copy=True) for name, tensor in real_state(vae).items()}
    twin.load_state_dict(state, strict=True, assign=True)
    for name, value in vars(vae).items():
        if name in ("use_slicing", "use_tiling") or name.startswith("tile_"):
            vars(twin)[name] = value
    return twin.eval().requires_grad_(False)


def real_state(vae: Any) -> dict[str, Any]:
    """The state dict with real tensors, also while accelerate's hooks keep the weights elsewhere."""
    state = dict(vae.state_dict())
    for path, layer in vae.named_modules():
        weights = getattr(getattr(layer, "_hf_hook", None), "weights_map", None)
        if weights is None:
            continue
        for name in (*layer._parameters, *layer._buffers):
            full = f"{path}.{name}" if path else name
            if full in state and state[full].device.type == "meta":
                state[full] = weights[name]
    return state
