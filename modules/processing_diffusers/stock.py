"""What the engine draws with."""

from __future__ import annotations

from dataclasses import dataclass, field

from modules.contracts.catalog import Catalog
from modules.contracts.controls import Controls, NoControls
from modules.contracts.detectors import Detectors, NoDetectors
from modules.contracts.networks import Networks, NoNetworks
from modules.prompts.book import PromptBook
from modules.sd_samplers.table import SamplerTable


@dataclass(frozen=True, slots=True)
class Stock:
    """The catalogues that a request chooses from. What is left out holds nothing."""

    catalog: Catalog
    """Models, VAEs and upscalers."""
    samplers: SamplerTable
    prompts: PromptBook = field(default_factory=PromptBook)
    """Styles and wildcards."""
    networks: Networks = field(default_factory=NoNetworks)
    """LoRA and its kin, and embeddings."""
    controls: Controls = field(default_factory=NoControls)
    """ControlNets and preprocessors."""
    detectors: Detectors = field(default_factory=NoDetectors)
    """What finds regions for the detailer."""
