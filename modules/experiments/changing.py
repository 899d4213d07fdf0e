"""What a value of an axis does to a request. Every function is pure and gives a request of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from modules.contracts.errors import InvalidRequest
from modules.contracts.experiments import Axis
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import GivenValue, ScriptUse
from modules.experiments.grammar import words_of

Change = Callable[[GenerationRequest, Axis, Any], GenerationRequest]

REPLACE, ORDER, LORA, PAIR, SIZE, STYLES, CONTROL, SETTING, SCRIPT = (
    "prompt.replace",
    "prompt.order",
    "prompt.lora",
    "sampling.pair",
    "canvas.size",
    "prompt.styles",
    "control",
    "settings",
    "scripts",
)
"""Keys of axes that are not one declared parameter; `prompt.lora.NAME`, `control.NUMBER.FIELD`, `settings.KEY` and
`scripts.TITLE.NAME` go on."""
BETWEEN = " / "
"""Between sampler and schedule of a pair."""
_SIZE = re.compile(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*")


def change_of(key: str) -> Change:
    """What an axis of that key does."""
    if key.startswith(f"{LORA}."):
        return weigh_network
    if key.startswith(f"{CONTROL}."):
        return steer
    if key.startswith(f"{SETTING}."):
        return set_own
    if key.startswith(f"{SCRIPT}."):
        return tell_script
    return _SPECIAL.get(key, set_declared)


def set_declared(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Set one declared parameter. Raises `InvalidRequest` where the request has no group of that name."""
    group, _, name = axis.key.partition(".")
    held = getattr(request, group)
    if held is None:
        raise InvalidRequest(f"{axis.label} varies, but the request has no part '{group}' that it belongs to.")
    return replace(request, **{group: replace(held, **{name: value})})


def replace_words(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Put a value where the first value of the axis stands in the prompts. Raises `InvalidRequest` where it does not.

    Prompts of a second pass of their own are searched as well.
    """
    wanted, prompt, hires = str(axis.values[0]), request.prompt, request.hires
    places = (prompt.text, prompt.negative, hires.prompt, hires.negative)
    if not wanted or not any(wanted in text for text in places):
        raise InvalidRequest(f"{axis.label}: {wanted[:80]!r} is in neither prompt nor negative prompt.")
    text, negative, second, second_negative = (one.replace(wanted, str(value)) for one in places)
    return replace(
        request,
        prompt=replace(prompt, text=text, negative=negative),
        hires=replace(hires, prompt=second, negative=second_negative),
    )


def order_words(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Put the words of a value, a comma separated list, in that order into the places that they have in the prompt.

    Raises `InvalidRequest` for a word that the prompt does not hold.
    """
    words, text = words_of(str(value)), request.prompt.text
    places = sorted((text.find(word), word) for word in words)
    absent = [word for place, word in places if place < 0]
    if absent:
        raise InvalidRequest(f"{axis.label}: {absent[0][:80]!r} is not in the prompt.")
    made, at = "", 0
    for (place, word), new in zip(places, words, strict=True):
        if place < at:
            raise InvalidRequest(f"{axis.label}: {word[:80]!r} overlaps another of the words in the prompt.")
        made += text[at:place] + new
        at = place + len(word)
    return replace(request, prompt=replace(request.prompt, text=made + text[at:]))


def weigh_network(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Give the LoRA that the axis names that weight in the prompt. Raises `InvalidRequest` where it has no tag."""
    name = axis.key.removeprefix(f"{LORA}.")
    tag = re.compile(rf"<(lora|lyco):{re.escape(name)}(?::[^:>]*)?((?::[^>]*)?)>", re.IGNORECASE)
    text, count = tag.subn(lambda found: f"<{found[1]}:{name}:{value:g}{found[2]}>", request.prompt.text)
    if not count:
        raise InvalidRequest(f"{axis.label}: the prompt has no tag <lora:{name}:…> whose weight could vary.")
    return replace(request, prompt=replace(request.prompt, text=text))


def pair_samplers(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Set sampler and schedule together; without a schedule it is the sampler's own."""
    sampler, _, scheduler = str(value).partition(BETWEEN)
    return replace(request, sampling=replace(request.sampling, sampler=sampler, scheduler=scheduler or None))


def resize(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Set width and height from `WIDTHxHEIGHT`, in pixels. Raises `InvalidRequest` for another form."""
    found = _SIZE.fullmatch(str(value))
    if found is None:
        raise InvalidRequest(f"{axis.label}: {value!r:.40} is no size; one is written as 512x768.")
    return replace(request, canvas=replace(request.canvas, width=int(found[1]), height=int(found[2])))


def add_styles(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Add the styles of a comma separated list to those of the request; an empty list adds none."""
    names = tuple(name for name in words_of(str(value)) if name and name.casefold() != "none")
    return replace(request, prompt=replace(request.prompt, styles=(*request.prompt.styles, *names)))


def steer(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Set a field of a ControlNet unit. Raises `InvalidRequest` where the request has no such unit."""
    _, number, name = axis.key.split(".", 2)
    units = list(request.control.units)
    if int(number) >= len(units):
        raise InvalidRequest(f"{axis.label} varies, but the request has {len(units)} ControlNet units.")
    units[int(number)] = _with(units[int(number)], tuple(name.split(".")), value)
    return replace(request, control=replace(request.control, units=tuple(units)))


def set_own(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Give the job a setting of its own, in place of its owner's and everybody's."""
    return replace(request, own=tuple({**dict(request.own), axis.key.removeprefix(f"{SETTING}."): value}.items()))


def tell_script(request: GenerationRequest, axis: Axis, value: Any) -> GenerationRequest:
    """Tell a script that value of a parameter, beside what the request tells it: the one that owns the run, else one
    that is always on."""
    title, _, name = axis.key.removeprefix(f"{SCRIPT}.").rpartition(".")
    forms = {"all": [value, *axis.values], "words": words_of(str(value))}
    given = GivenValue(name, forms.get(axis.form, value))

    def told(use: ScriptUse) -> ScriptUse:
        return replace(use, values=(*(one for one in use.values if one.name != name), given))

    wanted = request.scripts
    if wanted.run is not None and _same(wanted.run.name, title):
        return replace(request, scripts=replace(wanted, run=told(wanted.run)))
    there = any(_same(use.name, title) for use in wanted.always)
    always = wanted.always if there else (*wanted.always, ScriptUse(title))
    always = tuple(told(use) if _same(use.name, title) else use for use in always)
    return replace(request, scripts=replace(wanted, always=always))


def _same(name: str, title: str) -> bool:
    return name.strip().casefold() == title.casefold()


def _with(held: Any, path: tuple[str, ...], value: Any) -> Any:
    if not is_dataclass(held) or isinstance(held, type) or path[0] not in {item.name for item in fields(held)}:
        raise InvalidRequest(f"There is no field {'.'.join(path)} that could vary.")
    inner = value if len(path) == 1 else _with(getattr(held, path[0]), path[1:], value)
    return replace(held, **{path[0]: inner})


_SPECIAL: dict[str, Change] = {
    REPLACE: replace_words,
    ORDER: order_words,
    PAIR: pair_samplers,
    SIZE: resize,
    STYLES: add_styles,
}
