"""What of a job stands beside its model: bytes for the forecast of its memory."""

from __future__ import annotations

from modules.contracts.plan import GenerationPlan
from modules.memory.cost import ADAPTED_LIVE, STEERED_LIVE, Beside
from modules.processing_diffusers.control_part import JobControls
from modules.processing_diffusers.networks_part import JobNetworks


def count_beside(plan: GenerationPlan, controls: JobControls, networks: JobNetworks, *, accelerator: bool) -> Beside:
    """ControlNets, adapters and image encoders, which are where the denoiser is from the moment that they are leased;
    networks, whose part there comes with the first step; detectors and the networks of preprocessors, which look from
    main memory, so that they count only where the device has no memory of its own.

    What looks counts with its files. Pictures that it is asked about, and networks of words that only stand in prompts
    (embeddings), are too small to count.
    """
    kinds = {part.loaded.kind for part in controls.parts.values()}
    held, (whole, there) = controls.size_bytes, networks.weights()
    detectors = {detail.detector.name: detail.detector.size_bytes for detail in plan.details}
    seen = 0 if accelerator else sum(detectors.values()) + controls.looking_bytes
    live = STEERED_LIVE * bool(kinds - {"t2i_adapter"} or controls.crossings) + ADAPTED_LIVE * ("t2i_adapter" in kinds)
    return Beside(held + whole + seen, held + there, live)
