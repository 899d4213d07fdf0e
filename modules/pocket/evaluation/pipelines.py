"""Draws orders with plain diffusers pipelines: the loaders and calls that every user of diffusers has.

Diffusers is imported when the first model is opened, not with this module.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from modules.contracts.features import Shrink, factor_for
from modules.contracts.plan import SamplerPlan
from modules.pocket.evaluation.colours import Picture
from modules.pocket.evaluation.drawing import Order, Pictures
from modules.sd_models.folders import own_defaults
from modules.sd_samplers.build import build_scheduler


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a model is best drawn with, where an order leaves it open."""

    steps: int = 20
    guidance: float = 7.5
    size: int = 256
    sampler: str = ""
    """In the studio's words; empty for the one in the model's folder."""
    scheduler: str = "Automatic"
    shrink: Mapping[str, Any] | None = None
    """Level and end of the deep shrink of pictures that are drawn from words above `size`; None without one."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA or a textual inversion."""

    path: Path
    token: str = ""
    """The word of a textual inversion; empty for a LoRA."""
    stand_in: str = ""
    """The plain word that the token stands for; at weight 0 it takes the token's place."""


@dataclass(slots=True)
class PipelineDraw:
    """A `Draw` over one pipeline and what is put on it.

    An order that needs a ControlNet or an adapter that is not here raises KeyError.
    """

    pipeline: Any
    defaults: Defaults
    controls: Mapping[str, Any] = field(default_factory=dict)
    """`ControlNetModel`s and `T2IAdapter`s by name."""
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    batch: int = 20
    """Pictures drawn at once at a size of 256; fewer at larger ones."""

    @property
    def bare(self) -> PipelineDraw:
        """The same without what the model's own defaults do for pictures above its native size."""
        return replace(self, defaults=replace(self.defaults, shrink=None))

    def __call__(self, order: Order) -> Pictures:
        """One picture for each prompt. Picture by picture the noise comes from the picture's own seed."""
        size = order.size or self.defaults.size
        at_once = max(1, self.batch * 256 * 256 // (size * size)) if size > 256 else self.batch
        made: list[Picture] = []
        with self._adapted(order) as pipeline:
            for start in range(0, len(order.prompts), at_once):
                part = order.part(start, start + at_once)
                with self._shrunk(pipeline, part, size) as told:
                    images = pipeline(**self._arguments(pipeline, part, size), **told).images
                made += [np.asarray(image.convert("RGB"), np.uint8) for image in images]
        return np.stack(made)

    @contextmanager
    def _adapted(self, order: Order) -> Iterator[Any]:
        """The pipeline of the kind that the order needs, with its LoRA put on for as long."""
        from diffusers import (
            AutoPipelineForImage2Image,
            AutoPipelineForInpainting,
            AutoPipelineForText2Image,
            StableDiffusionAdapterPipeline,
        )

        pipeline = self.pipeline
        # A copy of the parts' list, not of the parts: the plain pipeline stays as it is.
        if order.control and self._paints(order):
            parts = {name: part for name, part in pipeline.components.items() if name != "image_encoder"}
            palette = self.controls[order.control]
            pipeline = StableDiffusionAdapterPipeline(**parts, adapter=palette, requires_safety_checker=False)
        elif order.control:
            pipeline = AutoPipelineForText2Image.from_pipe(pipeline, controlnet=self.controls[order.control])
        elif order.masks is not None:
            pipeline = AutoPipelineForInpainting.from_pipe(pipeline)
        elif order.images is not None:
            pipeline = AutoPipelineForImage2Image.from_pipe(pipeline)
        pipeline.set_progress_bar_config(disable=True)
        adapter = self.adapters[order.adapter] if order.adapter else None
        if adapter is None or adapter.token:
            yield pipeline
            return
        pipeline.load_lora_weights(str(adapter.path), adapter_name="evaluated", local_files_only=True)
        try:
            pipeline.set_adapters(["evaluated"], [order.weight])
            yield pipeline
        finally:
            pipeline.unload_lora_weights()

    @contextmanager
    def _shrunk(self, pipeline: Any, order: Order, size: int) -> Iterator[dict[str, Any]]:
        """The pipeline with what the model's defaults do above its native size, and what its call is told for that."""
        factor = factor_for(size, size, self.defaults.size)
        if order.images is not None or self.defaults.shrink is None or factor <= 1:
            yield {}
            return
        from modules.processing_diffusers.inside.deep_shrink import DeepShrink

        wish = Shrink(factor, **self.defaults.shrink)
        with ExitStack() as stack:
            stack.enter_context(DeepShrink(wish, lambda: True).applied(pipeline.unet))

            def end(pipeline: Any, index: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
                if index + 1 >= wish.end * pipeline.num_timesteps - 1e-9:
                    stack.close()
                return tensors

            yield {"callback_on_step_end": end}

    def _arguments(self, pipeline: Any, order: Order, size: int) -> dict[str, Any]:
        import torch

        arguments: dict[str, Any] = {
            "num_inference_steps": order.steps or self.defaults.steps,
            "guidance_scale": self.defaults.guidance if order.guidance is None else order.guidance,
            "generator": [torch.Generator("cpu").manual_seed(seed) for seed in order.seeds],
            **self._words(pipeline, order),
        }
        images = None if order.images is None else [Image.fromarray(image) for image in order.images]
        sizes = {"width": size, "height": size}
        if order.masks is not None:
            masks = [Image.fromarray(mask) for mask in order.masks]
            return {**arguments, **sizes, "image": images, "mask_image": masks, "strength": order.strength}
        if order.control:
            scale = "adapter_conditioning_scale" if self._paints(order) else "controlnet_conditioning_scale"
            return {**arguments, **sizes, "image": images, scale: order.weight}
        if images is not None:
            # Some families take the size from the start picture, and some bring it to the size that they are told.
            told = sizes if "height" in inspect.signature(pipeline.__call__).parameters else {}
            return {**arguments, **told, "image": images, "strength": order.strength}
        return {**arguments, **sizes}

    def _paints(self, order: Order) -> bool:
        """Whether the order's control is a T2I-Adapter."""
        return type(self.controls[order.control]).__name__ == "T2IAdapter"

    def _words(self, pipeline: Any, order: Order) -> dict[str, Any]:
        """The prompts; with a textual inversion their embeddings, on the way from the plain word to the learned one."""
        adapter = self.adapters[order.adapter] if order.adapter else None
        negative = [order.negative] * len(order.prompts)
        if adapter is None or not adapter.token:
            return {"prompt": list(order.prompts), "negative_prompt": negative}
        if adapter.token not in pipeline.tokenizer.get_vocab():
            pipeline.load_textual_inversion(str(adapter.path), token=adapter.token, local_files_only=True)
        plain = [prompt.replace(adapter.token, adapter.stand_in) for prompt in order.prompts]

        def encode(prompts: list[str]) -> tuple[Any, Any]:
            embeddings: tuple[Any, Any] = pipeline.encode_prompt(prompts, pipeline.device, 1, True, negative)
            return embeddings

        learned, against = encode(list(order.prompts))
        known, _ = encode(plain)
        return {
            "prompt_embeds": known + (learned - known) * order.weight,
            "negative_prompt_embeds": against,
        }


def open_pipeline(folder: Path, device: str = "cpu") -> Any:
    """The pipeline in a diffusers folder, from disk only, float32. Raises FileNotFoundError where there is none."""
    if not (folder / "model_index.json").exists():
        raise FileNotFoundError(folder / "model_index.json")
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def put_sampler(pipeline: Any, defaults: Defaults) -> str:
    """Gives the pipeline the sampler that the model asks for, if it asks for one; returns the name of what it then has.

    A flow model keeps its own, as its steps were learned along it.
    Raises InvalidRequest for a sampler or a schedule that the studio does not know.
    """
    kind = type(pipeline.scheduler).__name__
    if not defaults.sampler or "Flow" in kind:
        return kind
    plan = SamplerPlan(defaults.sampler, defaults.scheduler, defaults.steps, None)
    pipeline.scheduler = build_scheduler(plan, pipeline.scheduler.config, flow=False)
    return f"{defaults.sampler}, {defaults.scheduler}"


def open_controls(folders: Mapping[str, Path], device: str = "cpu") -> dict[str, Any]:
    """The ControlNets and T2I-Adapters in diffusers folders, from disk only, float32, by the names given."""
    from diffusers import ControlNetModel, T2IAdapter

    kinds = {kind.__name__: kind for kind in (ControlNetModel, T2IAdapter)}
    found = {}
    for name, folder in folders.items():
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found[name] = kinds[said["_class_name"]].from_pretrained(str(folder), local_files_only=True).to(device)
    return found


def read_defaults(folder: Path) -> Defaults:
    """What the model's own `defaults.json` says; the class's values for what it leaves out, or where it is missing."""
    path = folder / "defaults.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    usual = Defaults()
    return Defaults(
        int(known.get("steps", usual.steps)),
        float(known.get("cfg_scale", usual.guidance)),
        int(known.get("width", native_size(folder) or usual.size)),
        str(known.get("sampler", usual.sampler)),
        str(known.get("scheduler", usual.scheduler)),
        own_defaults(folder).get("deep_shrink"),
    )


def native_size(folder: Path) -> int | None:
    """Side in pixels that the denoiser's configuration names, eight for one of latents; None where it names none."""
    for part in ("unet", "transformer"):
        path = folder / part / "config.json"
        if path.exists():
            side = json.loads(path.read_text(encoding="utf-8")).get("sample_size")
            return int(side) * 8 if isinstance(side, int) else None
    return None
