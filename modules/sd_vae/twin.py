"""A second autoencoder in fp32 with the same weights, for results that fp16 cannot hold.

A twin rather than widening in place: the autoencoder may be decoding for another lane at the same moment.
"""

from __future__ import annotations

from typing import Any

_PLAIN = (bool, int, float, str, tuple, type(None))


def widened(vae: Any) -> Any:
    """A copy of `vae` in fp32 on the device where it computes. `vae` is not touched.

    Takes over simple attributes of every layer as well (padding mode, tiling, slicing), which patches may have set;
    not calls that were replaced.
    """
    import torch

    with torch.device("meta"):
        twin = type(vae).from_config(vae.config)
    mark = getattr(vae, "_hf_hook", None)
    device = getattr(mark, "execution_device", None)
    state = {
        name: tensor.to(device=device or tensor.device, dtype=torch.float32, copy=True)
        for name, tensor in real_state(vae).items()
    }
    twin.load_state_dict(state, strict=True, assign=True)
    for (_, layer), (_, copy) in zip(vae.named_modules(), twin.named_modules(), strict=True):
        for name, value in vars(layer).items():
            if name != "training" and not name.startswith("__") and isinstance(value, _PLAIN):
                vars(copy)[name] = value
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
