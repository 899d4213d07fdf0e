"""A resident model as the engine uses it: its parts, the multiplexer's targets before them, known embeddings."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from modules.contracts.catalog import Family, FileEntry
from modules.contracts.plan import Placement
from modules.device.select import DeviceChoice
from modules.memory.cost import ModelBytes, ModelFacts, facts_of, group_of
from modules.networks.fittings import Fittings
from modules.processing_diffusers.embeddings import EmbeddingCache
from modules.processing_diffusers.families.base import FamilyAdapter
from modules.processing_diffusers.families.table import adapter_for
from modules.processing_diffusers.multiplexer.call import Target
from modules.processing_diffusers.multiplexer.stand_in import Port, target_of
from modules.processing_diffusers.vae_part import VaePart
from modules.prompts.chunks import Ruler
from modules.prompts.encoding import EncoderSpec
from modules.prompts.spellings import Spellings, reads_words_apart
from modules.sd_models.folders import EYES
from modules.sd_models.loader import LoadedModel
from modules.sd_vae.preview import Previewer
from modules.support.tally import Tally


class DrawingModel:
    """Built once per loaded model and shared by all lanes that draw with it."""

    def __init__(
        self,
        loaded: LoadedModel,
        placement: Mapping[str, Placement],
        previewer: Previewer,
        *,
        resting: str | None = None,
        texts: Tally | None = None,
    ) -> None:
        """`placement` says where parts compute. With `resting`, which says why, they wait in main memory."""
        self.loaded = loaded
        self.resting = resting
        self.size_bytes = loaded.size_bytes
        self.family: Family = loaded.family
        self.placement = placement
        parts = loaded.components
        self.adapter: FamilyAdapter = adapter_for(loaded.family, parts[self.family.denoiser])
        self.adapter.prepare(parts[self.family.denoiser])
        text = "encoder_hidden_states" if self.adapter.repeats else ""
        plain = target_of(parts[self.family.denoiser], self.family.denoiser, stepped=True, repeated=text)
        self.denoiser: Target = replace(plain, function=functools.partial(self.adapter.run, plain.module))
        self.decoder: Target | None = None
        """The second denoiser of a family with two."""
        if self.family.decoder:
            last = target_of(parts[self.family.decoder], self.family.decoder, stepped=True)
            self.decoder = replace(last, function=functools.partial(self.adapter.unfold, last.module))
        self.text_encoders: dict[str, Target] = {
            name: self._reader(target_of(parts[name], name))
            for name in self.family.text_encoders
            if parts.get(name) is not None
        }
        self.eyes: Target | None = None
        """What sees the picture that a film begins with, for families that look at it so: `pixels` to what it says."""
        if (eyes := parts.get(EYES)) is not None:
            self.eyes = replace(target_of(eyes, EYES), function=functools.partial(self.adapter.glance, eyes))
        self.fittings = Fittings(
            self.family.denoiser, {name: parts[name] for name in (self.family.denoiser, *self.text_encoders)}
        )
        self.vae = VaePart(parts["vae"])
        self.embeddings = EmbeddingCache(tally=texts)
        self.reader: tuple[FileEntry, str | None] | None = None
        """The separate text encoder that reads in place of one of its own, with its hash."""
        self._previewer = previewer
        self._preview_ready = False
        self.words = threading.Lock()
        """Held while a tokenizer works."""
        self.spellings = {
            name: Spellings()
            for name, part in parts.items()
            if name.startswith("tokenizer") and reads_words_apart(part)
        }
        """By tokenizer, for those that read words apart."""
        self.rulers: dict[EncoderSpec, Ruler] = {}
        """How pieces look for each encoder that was used."""
        self.bytes = ModelBytes.of(parts)
        self.facts: ModelFacts = facts_of(parts)

    def _reader(self, plain: Target) -> Target:
        return replace(plain, function=functools.partial(self.adapter.hear, plain.module))

    def place(self, group: str) -> tuple[torch.device, torch.dtype]:
        """Device and precision of a group as torch objects."""
        placement = self.placement[group]
        return torch.device(placement.device), getattr(torch, placement.dtype)

    @property
    def rests(self) -> bool:
        """Its parts wait in main memory and compute under offloading only."""
        return self.resting is not None

    def bytes_on(self, device: str) -> int:
        """Bytes of its weights that are on that kind of device at this moment."""
        kind = torch.device(device).type
        if all(torch.device(place.device).type == "cpu" for place in self.placement.values()):
            return self._bytes_on_cpu if kind == "cpu" else 0  # there is no other device for them to move to
        return self._count_bytes(kind)

    @cached_property
    def _bytes_on_cpu(self) -> int:
        return self._count_bytes("cpu")

    def _count_bytes(self, kind: str) -> int:
        parts = [part for name, part in self.loaded.components.items() if part is not None and group_of(name)]
        tensors = {id(one): one for part in parts for one in (*part.parameters(), *part.buffers())}
        return sum(one.numel() * one.element_size() for one in tensors.values() if one.device.type == kind)

    def away_from_cpu(self, components: Mapping[str, Any], choice: DeviceChoice) -> dict[str, Any]:
        """What of the components computes on the chosen device. Parts that were sent to the CPU need no measures, and
        offloading would take them to the device all the same."""
        if not choice.handler.accelerator:
            return dict(components)
        cpu = choice.cpu.torch_device()
        groups = {group for group, place in self.placement.items() if place.device != cpu}
        return {name: part for name, part in components.items() if group_of(name) in groups}

    def let_go(self) -> None:
        """Drop all that was laid around the parts, so that they go as soon as `unload` drops them, too. The model draws
        no more."""
        del self.adapter, self.denoiser, self.decoder, self.text_encoders, self.eyes, self.fittings, self.vae
        del self._previewer

    def preview(self, port: Port, latents: torch.Tensor, side: int) -> bytes:
        """An encoded look at the denoiser's latents (pictures, C, H, W).

        The first one may have to fit colours to the VAE, which is work for the executor; later ones are cheap.
        """
        if self._preview_ready:
            return self._previewer.jpeg(latents, side)
        data: bytes = port.call(Target("preview", self._first_preview, None), latents=latents, side=side)
        return data

    def _first_preview(self, latents: torch.Tensor, side: int) -> bytes:
        data = self._previewer.jpeg(latents, side)
        self._preview_ready = True
        return data
