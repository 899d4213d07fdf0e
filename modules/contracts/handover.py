"""What a request says of a pass that is not drawn by one sampler to its end."""

from __future__ import annotations

from dataclasses import dataclass

from modules.contracts.parameters import param


@dataclass(frozen=True, slots=True)
class HandoverParams:
    """A second sampler that takes over in mid-run. As declared nothing does."""

    sampler: str | None = param(
        None,
        "Second sampler",
        help="Goes on where the first one leaves off.",
        choices="samplers",
        legacy="second_sampler_name",
        infotext="Second sampler",
    )
    scheduler: str | None = param(
        None,
        "Second schedule type",
        help="Of the second sampler; alone, it is the first sampler that goes on with another schedule.",
        choices="schedulers",
        legacy="second_scheduler",
        infotext="Second schedule type",
    )
    steps: int = param(
        0,
        "Second steps",
        help="Steps of the second sampler, besides those of the first; 0 divides the steps at the share below.",
        minimum=0,
        maximum=1000,
        step=1,
        legacy="second_steps",
        infotext="Second steps",
    )
    at: float = param(
        0.5,
        "Second sampler from",
        help="Share of the steps after which the second sampler goes on, where it has no number of its own.",
        minimum=0,
        maximum=1,
        step=0.05,
        legacy="second_at",
        infotext="Second from",
    )

    @property
    def changes(self) -> bool:
        """Another sampler or schedule takes over."""
        return bool(self.sampler or self.scheduler)

    @property
    def extra(self) -> int:
        """Steps besides those of the first sampler."""
        return self.steps if self.changes else 0


ONE_SAMPLER = HandoverParams()
"""Nothing takes over."""
