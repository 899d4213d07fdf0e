"""What a request says of a second model that takes over in mid-run, and which models can."""

from __future__ import annotations

from dataclasses import dataclass

from modules.contracts.catalog import Catalog, Family, ModelEntry
from modules.contracts.errors import UnsupportedFeature
from modules.contracts.parameters import param

REFINED_PASSES = ("second pass", "first pass", "both passes")
"""Which passes of a picture with a hires pass have the refiner. A1111's words."""


@dataclass(frozen=True, slots=True)
class RefinerParams:
    """A second model that takes over in mid-run. As declared none does. Meaning and names are A1111's, but for the
    steps of a second stage that a model has of its own."""

    checkpoint: str | None = param(
        None,
        "Refiner",
        help="A second model that goes on where the first one leaves off.",
        choices="models",
        legacy="refiner_checkpoint",
        infotext="Refiner",
    )
    switch_at: float = param(
        0.8,
        "Refiner from",
        help="Share of the noise that is gone when the refiner takes over; at 1 it never does.",
        minimum=0,
        maximum=1,
        step=0.01,
        legacy="refiner_switch_at",
        infotext="Refiner switch at",
    )
    by_steps: bool = param(
        False,
        "Refiner by steps",
        help="Count the share in steps of the pass, not in the model's thousand time steps.",
        legacy="refiner_switch_by_sample_steps",
        override="refiner_switch_by_sample_steps",
        infotext="Refiner switch by sampling steps",
    )
    passes: str = param(
        REFINED_PASSES[0],
        "Refiner in hires",
        help="Which passes of a picture with a second pass the refiner takes part in.",
        choices=REFINED_PASSES,
        override="hires_fix_refiner_pass",
        infotext="Hires refiner",
    )
    decoder_steps: int = param(
        10,
        "Decoder steps",
        help="Steps of the second denoiser of a model that draws in two stages.",
        minimum=1,
        maximum=100,
        step=1,
        legacy="decoder_steps",
        infotext="Decoder steps",
    )

    @property
    def first(self) -> bool:
        """It takes part in the first pass also where there is a second."""
        return self.passes != REFINED_PASSES[0]

    @property
    def second(self) -> bool:
        """It takes part in the second pass."""
        return self.passes != REFINED_PASSES[1]


NO_REFINER = RefinerParams()
"""One model draws it all."""


@dataclass(frozen=True, slots=True)
class RefinerUse:
    """The refiner of a pass, found in the catalogue."""

    model: ModelEntry
    family: Family
    at: float
    by_steps: bool = False


def find_refiner(wanted: RefinerParams, catalog: Catalog, model: ModelEntry, family: Family) -> RefinerUse | None:
    """The refiner for pictures of that model; None where none is named, where it is that model, or never takes over.

    Raises `UnknownModel`, `BrokenModel`, or `UnsupportedFeature` for one that cannot go on with such latents.
    """
    if not wanted.checkpoint:
        return None
    entry = catalog.find_model(wanted.checkpoint)
    if entry.name == model.name:
        return None
    other = catalog.family(str(entry.family)).drawn_with(entry)
    if _language(family) != _language(other):
        raise UnsupportedFeature(
            f"The refiner {entry.name} ({other.label}) cannot go on with what {model.name} ({family.label}) draws; "
            "a refiner has latents of the same kind as the model before it, and is for inpainting where that one is."
        )
    return None if wanted.switch_at >= 1 else RefinerUse(entry, other, wanted.switch_at, wanted.by_steps)


def _language(family: Family) -> tuple[object, ...]:
    """What two models have to share so that one can go on with the other's latents, and with how they are noised."""
    flow = family.prediction == "flow"
    return family.adapter, family.latent_channels, family.latent_factor, flow, family.masked_channels
