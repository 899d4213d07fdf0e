"""From infotext back to a request: what a person gets who drops a picture on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from modules.contracts.infotext_control import read_units
from modules.contracts.infotext_details import read_details, silent_labels, text_labels
from modules.contracts.infotext_enlarged import KEYS as ENLARGED
from modules.contracts.infotext_fields import INPAINT_AREAS, MASK_MODES, NEGATIVE_TEMPLATE, TEMPLATE
from modules.contracts.infotext_format import DEFAULTS, EXACT_NEGATIVE, EXACT_PROMPT, prompts_of
from modules.contracts.parameters import Declared
from modules.contracts.request import GenerationRequest, HiresParams, parameters

SILENT = frozenset(
    {"Model hash", "VAE hash", "Version", "User", "RNG", "App", "Backend", "Operations", "Operation", "Pipeline"}
    | {"Parser", "Date", "Created", "Batch size", "Batch pos", "Lora hashes", "TI hashes", "Hashes", "Steps total"}
    | {TEMPLATE, NEGATIVE_TEMPLATE, "Wildcard prompt", "Wildcard negative prompt"}
    | ENLARGED
    | frozenset(silent_labels())
    | {f"{key}-{side}" for key in ENLARGED for side in (1, 2)}
)
"""Keys that say how a picture came about but ask for nothing."""

ALIASES = {
    "Eta DDIM": "Eta",
    "Guidance scale": "CFG scale",
    "CFG Scale": "CFG scale",
    "Scheduler": "Schedule type",
    "Schedule": "Schedule type",
    "Clip Skip": "Clip skip",
    "Subseed": "Variation seed",
    "Subseed strength": "Variation seed strength",
    "Guidance rescale": "CFG rescale",
    "SD upscale overlap": "Tile overlap",
}
"""Labels of other programs for what A1111 calls something else."""

_TEXTS = (
    EXACT_PROMPT,
    EXACT_NEGATIVE,
    "Model",
    "VAE",
    "Text encoder",
    "Sampler",
    "Second sampler",
    "SD upscale upscaler",
    "Hires upscaler",
    "Hires prompt",
    "Hires negative prompt",
    "Hires checkpoint",
    "Refiner",
    "Style adapter",
    "Face restoration",
    "Prompt 2",
    "Prompt 3",
    "Negative prompt 2",
    "Negative prompt 3",
    *text_labels(),
)
_EMPTY = ("", "default", "none", "automatic", "use same sampler", "use same scheduler", "use same checkpoint")


class _Reader:
    """Takes values out of a parsed text and remembers which keys it could use."""

    def __init__(self, parsed: Mapping[str, str]) -> None:
        self.values: dict[str, str] = {}
        for key, value in parsed.items():
            target = ALIASES.get(key, key)
            if target == key or target not in parsed or parsed[target] == DEFAULTS.get(target):
                self.values[target] = value
        # A name such as `512x512` was taken for a size and cut in two.
        for key in _TEXTS:
            first, second = self.values.pop(f"{key}-1", None), self.values.pop(f"{key}-2", None)
            if first is not None and second is not None:
                self.values[key] = f"{first}x{second}"
        self.used: set[str] = set()

    def take(self, key: str, kind: str) -> Any:
        """The value as that type (`int`, `float`, `bool`, `str`), or None when it is missing or cannot be read so."""
        text = self.values.get(key)
        if text is None:
            return None
        value = _converted(text, kind)
        if value is not None:
            self.used.add(key)
        return value

    def size(self, key: str) -> tuple[int, int] | None:
        """A pair written as `WxH`."""
        width, height = self.take(f"{key}-1", "int"), self.take(f"{key}-2", "int")
        return None if width is None or height is None else (width, height)

    def unknown(self) -> tuple[str, ...]:
        """Keys that nothing was made of, sorted out of those that ask for nothing."""
        left = []
        for key, value in self.values.items():
            if key not in self.used and key not in SILENT and DEFAULTS.get(key) != value:
                left.append(key)
        return tuple(left)


def to_request(parsed: Mapping[str, str], base: GenerationRequest) -> tuple[GenerationRequest, tuple[str, ...]]:
    """`base` with everything that a parsed infotext says, and the names of keys that were not understood.

    Reads what this program, A1111, Forge and SD.Next write. A text that has parameters decides all that infotext can
    carry: what it does not mention takes its default. A text of a prompt alone changes the prompts only. Pictures,
    mask, batch and output stay those of `base`; what concerns a picture or a mask is used only when `base` has one.
    Bounds are not checked here.
    """
    reader = _Reader(parsed)
    text, negative = prompts_of(reader.values)
    prompts: dict[str, Any] = {"text": text, "negative": negative, "styles": ()}
    reader.used |= {EXACT_PROMPT, EXACT_NEGATIVE, "Prompt", "Negative prompt"}
    if not any(DEFAULTS.get(key) != value for key, value in reader.values.items() if key not in reader.used):
        return replace(base, prompt=replace(base.prompt, **prompts)), ()
    changes: dict[str, dict[str, Any]] = {"prompt": prompts}
    for item in parameters():
        if item.param.infotext is not None and item.path[0] != "hires" and getattr(base, item.path[0]) is not None:
            changes.setdefault(item.path[0], {})[item.path[1]] = _declared_value(item, reader)
    _read_canvas(reader, changes)
    _read_inpaint(reader, base, changes)
    changes["faces"]["restore"] = bool(changes["faces"]["restorer"])
    hires = _read_hires(reader)
    if base.image is None and hires.enabled:
        strength = reader.take("Denoising strength", "float")
        hires = hires if strength is None else replace(hires, denoising_strength=strength)
    checkpoint = reader.take("Model", "str") or reader.values.get("Model hash") or base.model.checkpoint
    changes.setdefault("model", {})["checkpoint"] = checkpoint
    groups = {name: replace(getattr(base, name), **values) for name, values in changes.items()}
    control, known = read_units(reader.values, base.control, _converted)
    reader.used |= known
    further, known = read_details(reader.values, base.further, _converted)
    reader.used |= known
    return replace(base, hires=hires, control=control, further=further, **groups), reader.unknown()


def _declared_value(item: Declared, reader: _Reader) -> Any:
    label = item.param.infotext or ""
    value = reader.take(label, item.annotation.split("|")[0].strip())
    words = item.param.choices
    if isinstance(words, tuple) and isinstance(value, str) and value.isdecimal() and int(value) < len(words):
        value = words[int(value)]  # SD.Next writes the number of a word
    if value is None or (item.default is None and isinstance(value, str) and value.casefold() in _EMPTY):
        return item.default
    return value


def _read_canvas(reader: _Reader, changes: dict[str, dict[str, Any]]) -> None:
    size = reader.size("Size")
    if size is not None:
        changes.setdefault("canvas", {}).update(width=size[0], height=size[1])
    wide, high = reader.size("Seed resize from") or (0, 0)
    changes.setdefault("seeds", {}).update(resize_from_width=wide, resize_from_height=high)


def _read_inpaint(reader: _Reader, base: GenerationRequest, changes: dict[str, dict[str, Any]]) -> None:
    mode, area = reader.values.get("Mask mode"), reader.values.get("Inpaint area")
    if base.inpaint is None:
        return
    if mode in MASK_MODES:
        reader.used.add("Mask mode")
        changes["inpaint"]["invert"] = mode == MASK_MODES[1]
    if area in INPAINT_AREAS:
        reader.used.add("Inpaint area")
        changes["inpaint"]["only_masked"] = area == INPAINT_AREAS[1]


def _read_hires(reader: _Reader) -> HiresParams:
    """The second pass; switched on when the text names a factor, a size or an upscaler."""
    values: dict[str, Any] = {}
    for item in parameters():
        if item.path[0] == "hires" and item.param.infotext is not None:
            values[item.path[1]] = _declared_value(item, reader)
    width, height = reader.size("Hires resize") or (0, 0)
    scale = reader.take("Hires upscale", "float")
    strength = reader.take("Hires denoising strength", "float")
    enabled = bool(width or height or scale is not None or "Hires upscaler" in reader.values)
    if not enabled:
        return HiresParams()
    if scale is not None:
        values["scale"] = scale
    if strength is not None:
        values["denoising_strength"] = strength
    return HiresParams(enabled=True, resize_width=width, resize_height=height, **values)


def _converted(text: str, kind: str) -> Any:
    """`text` as that type, None when it is none of that type."""
    try:
        if kind == "int":
            value = float(text)
            return int(text) if text.lstrip("+-").isdigit() else (int(value) if value == int(value) else None)
        if kind == "float":
            return float(text)
    except (ValueError, OverflowError):
        return None
    if kind == "bool":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.casefold())
    return text


def carried() -> frozenset[str]:
    """Dotted names of the parameters that survive a round trip through infotext."""
    composite = {"prompt.text", "prompt.negative", "canvas.width", "canvas.height", "model.checkpoint"}
    composite |= {
        "faces.restore",
        "seeds.resize_from_width",
        "seeds.resize_from_height",
        "inpaint.invert",
        "inpaint.only_masked",
    }
    composite |= {f"hires.{item.name}" for item in fields(HiresParams) if item.default is not MISSING}
    return frozenset(composite | {item.name for item in parameters() if item.param.infotext is not None})
