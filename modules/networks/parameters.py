"""How files name the tensors of a network: the layer first, then what the tensor is for its method.

kohya writes `NAME.lora_down.weight`, diffusers and PEFT `NAME.lora_A.weight`, older diffusers
`NAME.lora.down.weight` or `NAME.processor.to_q_lora.down.weight`, LyCORIS `NAME.hada_w1_a` and the like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

Value = TypeVar("Value")

_PLAIN = (
    *("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    *("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
    *(
        "boft_R",
        "boft_s",
        "oft_blocks",
        "rescale",
        "on_input",
        "diff",
        "diff_b",
        "w_norm",
        "b_norm",
        "alpha",
        "dora_scale",
    ),
)
ENDINGS: tuple[tuple[str, str], ...] = (
    (r"lora_linear_layer\.up\.weight", "up"),
    (r"lora_linear_layer\.down\.weight", "down"),
    (r"lora_up(?:\.default)?\.weight", "up"),
    (r"lora_down(?:\.default)?\.weight", "down"),
    (r"lora_mid\.weight", "mid"),
    (r"lora_B(?:\.default)?\.weight", "up"),
    (r"lora_A(?:\.default)?\.weight", "down"),
    (r"lora_B(?:\.default)?\.bias", "bias"),
    (r"lora\.up\.weight", "up"),
    (r"lora\.down\.weight", "down"),
    (r"lora_magnitude_vector(?:\.default)?(?:\.weight)?", "dora_scale"),
    (r"oft_R(?:\.default)?\.weight", "oft_r"),
    (r"ia3_l(?:\.default)?", "ia3_l"),
    *((rf"{name}(?:\.default)?", name) for name in _PLAIN),
    *((rf"{name}\.weight", name) for name in ("a1", "a2", "b1", "b2", "bm")),
    (r"weight", "weight"),
)
"""Ends of names and what they mean, tried in this order."""
_ENDING = re.compile("|".join(rf"(?P<e{number}>\.{pattern}$)" for number, (pattern, _) in enumerate(ENDINGS)))
_PROCESSOR = re.compile(r"\.processor\.(to_q|to_k|to_v|to_out)_lora\.(up|down)\.weight$")

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "down": "LoRA",
        "hada_w1_a": "LoHa",
        **dict.fromkeys(("lokr_w1", "lokr_w1_a"), "LoKr"),
        **dict.fromkeys(("oft_blocks", "oft_r"), "OFT"),
        "boft_R": "BOFT",
        "a1": "GLoRA",
        **dict.fromkeys(("on_input", "ia3_l"), "IA3"),
        **dict.fromkeys(("diff", "diff_b", "w_norm", "b_norm"), "Full"),
        "dora_scale": "DoRA",
    }
)
"""Tensors that tell a method, and its name for people."""


PEFT_CONFIG = "adapter_config.json"
"""What PEFT writes beside its weights."""


def split_key(key: str) -> tuple[str, str] | None:
    """The layer's name and what the tensor is; None for a name that belongs to no method."""
    old = _PROCESSOR.search(key)
    if old:
        layer = {"to_out": "to_out.0"}.get(old[1], old[1])
        return f"{key[: old.start()]}.{layer}", old[2]
    found = _ENDING.search(key)
    if found is None or found.lastgroup is None:
        return None
    return key[: found.start()], ENDINGS[int(found.lastgroup[1:])][1]


def group_by_layer(tensors: Mapping[str, Value]) -> tuple[dict[str, dict[str, Value]], list[str]]:
    """Tensors by layer and meaning, and the names that belong to no method.

    A bare `weight` counts only beside `on_input`, which is how LyCORIS writes (IA)3.
    """
    layers: dict[str, dict[str, Value]] = {}
    strange: list[str] = []
    for key, value in tensors.items():
        part = split_key(key)
        if part is None:
            strange.append(key)
        else:
            layers.setdefault(part[0], {})[part[1]] = value
    for name in [name for name, found in layers.items() if "weight" in found and "on_input" not in found]:
        del layers[name]["weight"]
        strange.append(f"{name}.weight")
    return {name: found for name, found in layers.items() if found}, strange


def is_network(names: Iterable[str]) -> bool:
    """Whether a file with tensors of these names holds a network that changes layers."""
    return any(part is not None and part[1] in METHODS for part in map(split_key, names))
