"""Walks over the graph that a picture of ComfyUI carries. Graphs come from anywhere: no walk visits a node twice, none
recurses, and a value of the wrong type is no value."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modules.outputs.foreign.base import number, stem, words

MOST_NODES = 5000
MOST_PASSES = 16
MOST_STEPS = 200_000
"""Links that all walks along values may follow together; a graph of an earnest program needs a few hundred."""
SAVING = ("SaveImage", "PreviewImage", "SaveAnimated", "SaveVideo", "VHS_VideoCombine")
"""Beginnings of the kinds at which a walk begins; where there is none, it begins at every node."""
SCHEDULES = {
    "KarrasScheduler": "karras",
    "ExponentialScheduler": "exponential",
    "PolyexponentialScheduler": "polyexponential",
    "BetaSamplingScheduler": "beta",
    "AlignYourStepsScheduler": "align_your_steps",
}
"""Nodes that are a schedule themselves."""
TEXTS = ("text", "text_g", "t5xxl", "clip_l", "string", "value", "prompt", "populated_text", "wildcard_text")
NUMBERS = ("value", "seed", "int", "float", "number", "noise_seed")
LATENTS = ("latent_image", "latent", "samples")
MODELS = ("ckpt_name", "unet_name", "model_name", "base_ckpt_name")
TAUGHT = ("FluxGuidance", "CLIPTextEncodeFlux")
"""Nodes whose `guidance` is the scale of a model that was taught it."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its kind, and its inputs, which are values or links."""

    kind: str
    inputs: Mapping[str, Any]

    def links(self) -> Iterator[tuple[str, str]]:
        """Names of inputs that lead to a node, and its id."""
        for name, value in self.inputs.items():
            target = target_of(value)
            if target is not None:
                yield name, target


class Graph:
    """The nodes of a graph by id."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        """`said` is `{id: {"class_type": …, "inputs": {…}}}`; what has another shape is no node."""
        self.nodes: dict[str, Node] = {}
        self._left = MOST_STEPS
        for key, value in said.items():
            if not isinstance(value, dict) or len(self.nodes) >= MOST_NODES:
                continue
            kind, inputs = value.get("class_type"), value.get("inputs")
            if isinstance(kind, str) and isinstance(inputs, dict):
                self.nodes[key] = Node(kind, inputs)

    def follow(self, start: Node, *names: str) -> Node | None:
        """The node behind the first of those inputs that is a link."""
        for name in names:
            target = target_of(start.inputs.get(name))
            if target in self.nodes:
                return self.nodes[target]
        return None

    def upward(self, *starts: Node, side: str = "") -> Iterator[Node]:
        """Those nodes and everything that they are made of, nearest first.

        With a `side`, `positive` or `negative`, a node that has both is left by that one alone, and pictures, masks and
        models are no way.
        """
        waiting, seen = deque(starts), {id(node) for node in starts}
        while waiting:
            node = waiting.popleft()
            yield node
            for name, target in node.links():
                if side and not _leads_to_text(node, name, side):
                    continue
                following = self.nodes.get(target)
                if following is not None and id(following) not in seen:
                    seen.add(id(following))
                    waiting.append(following)

    def passes(self) -> list[Node]:
        """The samplers that a saved picture went through, the last of them first."""
        ends = [node for node in self.nodes.values() if node.kind.startswith(SAVING)] or list(self.nodes.values())
        found: list[Node] = []
        first = next((node for node in self.upward(*ends) if is_sampler(node)), None)
        while first is not None and len(found) < MOST_PASSES and all(first is not one for one in found):
            found.append(first)
            before = self.follow(first, *LATENTS, "image")
            first = next((node for node in self.upward(before) if is_sampler(node)), None) if before else None
        return found

    def latent(self, sampler: Node) -> Node | None:
        """What a sampler begins with: the node that makes an empty latent, or one that encodes a picture."""
        before = self.follow(sampler, *LATENTS)
        for node in self.upward(before) if before else ():
            if _is_empty(node) or node.kind.startswith(("VAEEncode", "InpaintModelConditioning")):
                return node
        return None

    def size(self, latent: Node | None) -> tuple[Any, Any]:
        """Width and height of an empty latent in pixels; None each where it is no such."""
        if latent is None or not _is_empty(latent):
            return None, None
        return self.number(latent, "width"), self.number(latent, "height")

    def setting(self, sampler: Node, *names: str) -> Any:
        """The first of those settings: of the sampler itself, or of the nodes that it is put together from."""
        parts = [self.follow(sampler, name) for name in ("noise", "guider", "sampler", "sigmas")]
        sigmas = parts[-1]
        further = self.follow(sigmas, "sigmas") if sigmas else None  # something between schedule and sampler
        for node in filter(None, (sampler, *parts, further)):
            for name in names:
                value = self.text(node, name) if name == "sampler_name" else self.number(node, name)
                if value not in (None, ""):
                    return value
        return None

    def schedule(self, sampler: Node) -> str:
        """The name of the schedule; empty where none is found."""
        named = self.text(sampler, "scheduler")
        start = self.follow(sampler, "sigmas")
        for node in self.upward(start) if start and not named else ():
            named = SCHEDULES.get(node.kind) or self.text(node, "scheduler")
            if named:
                break
        return named

    def guidance(self, sampler: Node) -> Any:
        """The CFG scale; for models that were taught theirs, that one."""
        for node in self.upward(*self._texts_of(sampler, "positive"), side="positive"):
            if node.kind in TAUGHT:
                taught = self.number(node, "guidance")
                if taught is not None:
                    return taught
        return self.setting(sampler, "cfg")

    def texts(self, sampler: Node, notes: list[str]) -> tuple[str, str]:
        """Prompt and negative prompt; `notes` gets a sentence where several texts were joined."""
        found = []
        for side in ("positive", "negative"):
            texts: dict[str, None] = {}
            for node in self.upward(*self._texts_of(sampler, side), side=side):
                if node.kind == "ConditioningZeroOut":
                    break
                texts[self.text(node, side)] = None  # loaders that have the texts as well
                if "TextEncode" in node.kind:
                    texts[next((text for name in TEXTS if (text := self.text(node, name))), "")] = None
            texts.pop("", None)
            if len(texts) > 1:
                notes.append("Several texts were joined into one, without the areas or times they stood for.")
            found.append(", ".join(texts))
        if self._left < 0:
            notes.append("The graph is too tangled to be read to its end.")
        return found[0], found[1]

    def clip_skip(self) -> int | None:
        """Which layer of the text encoder is read, counted from its end as A1111 does."""
        for node in self.nodes.values():
            layer = self.number(node, "stop_at_clip_layer") if node.kind == "CLIPSetLastLayer" else None
            if layer is not None and layer < 0:
                return -int(layer)
        return None

    def _texts_of(self, sampler: Node, side: str) -> list[Node]:
        guider = self.follow(sampler, "guider")
        names = (side, "conditioning") if side == "positive" else (side,)
        node = self.follow(sampler, side) or (self.follow(guider, *names) if guider else None)
        return [node] if node else []

    def model(self, sampler: Node) -> tuple[str, dict[str, object]]:
        """The name of the model, and the networks upon it by name with their weights."""
        guider = self.follow(sampler, "guider")
        start = self.follow(sampler, "model") or (self.follow(guider, "model") if guider else None)
        networks: dict[str, object] = {}
        for node in self._line_of_models(start):
            name = next((stem(text) for key in MODELS if (text := self.text(node, key))), "")
            if name:
                return name, dict(reversed(networks.items()))
            if "lora" in node.kind.casefold():
                networks |= self._networks(node)
        return "", dict(reversed(networks.items()))

    def _line_of_models(self, start: Node | None) -> Iterator[Node]:
        seen: set[int] = set()
        while start is not None and id(start) not in seen:
            seen.add(id(start))
            yield start
            start = self.follow(start, "model", "model1", "unet", "base_model")

    def _networks(self, node: Node) -> dict[str, object]:
        """Of a loader of one network, or of one that has several in a list of its own."""
        found: dict[str, object] = {}
        name = stem(self.text(node, "lora_name"))
        if name and name != "None":
            found[name] = self.number(node, "strength_model")
        for value in node.inputs.values():
            if isinstance(value, dict) and value.get("on") and stem(value.get("lora")) not in ("", "None"):
                found[stem(value.get("lora"))] = number(value.get("strength"))
        return found

    def text(self, node: Node, name: str) -> str:
        """A text, here or at the end of links."""
        return words(self._value(node, name, TEXTS, str))

    def number(self, node: Node, name: str) -> int | float | None:
        """A number, here or at the end of links."""
        return number(self._value(node, name, NUMBERS, (int, float)))

    def _value(self, node: Node, name: str, names: tuple[str, ...], kind: Any) -> Any:
        value, seen = node.inputs.get(name), set()
        while (target := target_of(value)) is not None:
            self._left -= 1
            if target in seen or target not in self.nodes or self._left < 0:
                return None
            seen.add(target)
            inputs = self.nodes[target].inputs
            held = [inputs[key] for key in names if key in inputs]
            value = next((one for one in held if isinstance(one, kind) or target_of(one) is not None), None)
        return value if isinstance(value, kind) else None


def target_of(value: object) -> str | None:
    """The id that a link leads to; None for what is no link."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and isinstance(value[1], int):
        return str(value[0])
    return None


def is_sampler(node: Node) -> bool:
    """Whether a node draws: by its kind, or, of other people's nodes, by what it asks for."""
    if node.kind == "KSamplerSelect" or node.kind.endswith("Scheduler"):
        return False
    named = node.kind.startswith(("KSampler", "SamplerCustom"))
    return named or {"steps", "cfg", "sampler_name"} <= node.inputs.keys()


def _is_empty(node: Node) -> bool:
    return "Empty" in node.kind and "width" in node.inputs


def _leads_to_text(node: Node, name: str, side: str) -> bool:
    if "positive" in node.inputs and "negative" in node.inputs:
        return name == side
    return name.startswith("conditioning") or name in ("positive", "negative", "cond", "base_prompt")
