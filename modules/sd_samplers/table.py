"""The names of samplers and schedules, read from `configs/samplers.json`, and the answer to what a person meant by one.

Light: no torch, so that a list of samplers can be shown while torch is still loading.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from modules.contracts.catalog import SamplerEntry, ScheduleEntry
from modules.contracts.errors import InvalidRequest, UnsupportedFeature

AUTOMATIC = "automatic"
T = TypeVar("T", bound="SamplerRow | ScheduleRow")


@dataclass(frozen=True, slots=True)
class SamplerRow:
    """One sampler: its names, which solver drives it and what it may be given."""

    name: str
    """A1111's display name."""
    solver: str
    """Key in `modules.sd_samplers.solvers.SOLVERS`."""
    aliases: tuple[str, ...]
    schedule: str
    """Schedule (internal name) that `Automatic` stands for."""
    flow: bool
    """It can drive flow-matching models."""
    takes: frozenset[str]
    """Which of `eta`, `s_churn`, `s_noise` change what it does; the rest is ignored, as in A1111."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What A1111 reports for it, such as `second_order` and `discard_next_to_last_sigma`."""
    diffusers: Mapping[str, Any] | None = None
    """The diffusers class and config that stand for the same method; None where diffusers has none."""

    @property
    def default_eta(self) -> float:
        """Eta when none was asked for."""
        return float(self.options.get("default_eta", 1.0))

    @property
    def discard_penultimate(self) -> bool:
        """Its schedule is made one longer and then loses the sigma before the last."""
        return bool(self.options.get("discard_next_to_last_sigma", False))

    def entry(self) -> SamplerEntry:
        """The row of the contract."""
        return SamplerEntry(self.name, self.aliases, self.flow, {"scheduler": self.schedule, **self.options})


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One sigma schedule: the row of the contract and whether flow models can use it."""

    entry: ScheduleEntry
    flow: bool

    @property
    def name(self) -> str:
        """Internal name."""
        return self.entry.name

    @property
    def aliases(self) -> tuple[str, ...]:
        """Every other name it answers to, its label among them."""
        return (self.entry.label, *self.entry.aliases)


class SamplerTable:
    """All samplers and schedules in display order. Immutable."""

    def __init__(self, samplers: Iterable[SamplerRow], schedules: Iterable[ScheduleRow]) -> None:
        self._samplers = tuple(samplers)
        self._schedules = tuple(schedules)
        self._sampler_names = _index(self._samplers)
        self._schedule_names = _index(self._schedules)
        for row in self._samplers:
            if row.schedule not in {item.name for item in self._schedules}:
                raise ValueError(f"Sampler {row.name!r} names the unknown schedule {row.schedule!r}.")

    def samplers(self) -> tuple[SamplerEntry, ...]:
        """Rows of the contract in display order."""
        return tuple(row.entry() for row in self._samplers)

    def schedulers(self) -> tuple[ScheduleEntry, ...]:
        """Rows of the contract in display order, `Automatic` first."""
        return tuple(row.entry for row in self._schedules)

    def rows(self) -> tuple[SamplerRow, ...]:
        """The samplers with everything the builder needs."""
        return self._samplers

    def sampler(self, name: str) -> SamplerRow:
        """The row of that name or alias in any case; `InvalidRequest` lists the known ones."""
        row = self._find_sampler(name)
        if row is None:
            known = ", ".join(item.name for item in self._samplers)
            raise InvalidRequest(f"There is no sampler {name!r}; known are {known}.")
        return row

    def schedule(self, name: str) -> ScheduleRow:
        """The schedule of that name, label or alias in any case; `InvalidRequest` lists the known ones."""
        row = self._schedule_names.get(_fold(name))
        if row is None:
            known = ", ".join(item.entry.label for item in self._schedules)
            raise InvalidRequest(f"There is no schedule type {name!r}; known are {known}.")
        return row

    def split(self, name: str) -> tuple[SamplerRow, ScheduleRow | None]:
        """Take A1111's older combined names apart: `DPM++ 2M Karras` is `DPM++ 2M` with `Karras`.

        A plain name gives no schedule. Raises `InvalidRequest` like `sampler`.
        """
        plain = self._find_sampler(name)
        if plain is not None:
            return plain, None
        folded = _fold(name)
        for ending, schedule in sorted(self._schedule_names.items(), key=lambda item: -len(item[0])):
            for joint in (" ", "_"):
                if folded.endswith(joint + ending):
                    row = self._find_sampler(folded[: -len(joint + ending)])
                    if row is not None:
                        return row, schedule
        return self.sampler(name), None

    def resolve(
        self,
        sampler: str | None,
        scheduler: str | None,
        *,
        flow: bool,
        default_sampler: str,
        default_scheduler: str,
    ) -> tuple[SamplerRow, ScheduleEntry]:
        """What a request means for a model; `flow` tells whether that is a flow-matching one.

        An empty sampler is the default one, and takes the default schedule with it when that is open too. `Automatic`
        is the sampler's own schedule; for flow models it stays `Automatic`, which is the schedule that the model's
        scheduler config describes. Raises `InvalidRequest` for unknown or contradicting names and `UnsupportedFeature`
        for a sampler or schedule that cannot drive the model.
        """
        if not sampler:
            sampler, scheduler = default_sampler, scheduler or default_scheduler
        row, combined = self.split(sampler)
        chosen = self.schedule(scheduler) if scheduler else None
        if combined is not None:
            if chosen is not None and chosen.name not in (AUTOMATIC, combined.name):
                raise InvalidRequest(
                    f"Sampler {sampler!r} asks for the schedule {combined.entry.label}, but the schedule type is "
                    f"{chosen.entry.label}; name one of them only."
                )
            chosen = combined
        if flow and not row.flow:
            able = ", ".join(item.name for item in self._samplers if item.flow)
            raise UnsupportedFeature(f"Sampler {row.name} cannot drive a flow-matching model; these can: {able}.")
        if chosen is None or chosen.name == AUTOMATIC:
            chosen = self.schedule(AUTOMATIC if flow else row.schedule)
        if flow and not chosen.flow:
            able = ", ".join(item.entry.label for item in self._schedules if item.flow)
            raise UnsupportedFeature(
                f"Schedule type {chosen.entry.label} has no meaning for a flow-matching model; these have: {able}."
            )
        return row, chosen.entry

    def _find_sampler(self, name: str) -> SamplerRow | None:
        return self._sampler_names.get(_fold(name))


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()


def _index(rows: Iterable[T]) -> dict[str, T]:
    """Rows by every name they answer to. A name that two rows claim is a fault of the table."""
    found: dict[str, T] = {}
    for row in rows:
        for name in sorted(set(map(_fold, (row.name, *row.aliases)))):
            if name in found:
                raise ValueError(f"The name {name!r} is given to two rows of the sampler table.")
            found[name] = row
    return found


def load_table(path: Path) -> SamplerTable:
    """Read the table. Raises `OSError` when it is missing and `ValueError` or `KeyError` when it is not sound."""
    data = json.loads(path.read_text("utf-8"))
    samplers = [
        SamplerRow(
            name=item["name"],
            solver=item["solver"],
            aliases=tuple(item["aliases"]),
            schedule=item["schedule"],
            flow=item["flow"],
            takes=frozenset(item["takes"]),
            options=MappingProxyType(dict(item["options"])),
            diffusers=item.get("diffusers"),
        )
        for item in data["samplers"]
    ]
    schedules = [
        ScheduleRow(
            ScheduleEntry(
                item["name"], item["label"], tuple(item["aliases"]), item["default_rho"], item["need_inner_model"]
            ),
            item["flow"],
        )
        for item in data["schedules"]
    ]
    return SamplerTable(samplers, schedules)
