"""What is read from the services when somebody asks: the queue, memory, the engine. Nothing is counted here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from modules.contracts.jobs import JobFilter, JobState
from modules.support.studio import Studio

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Upper edges of the histogram of merged batches, in samples."""
PARTS = frozenset(
    {
        "unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3", "vae_encode", "vae_decode",
        "preview", "text_norm", "upscale", "prior", "decoder",
    }
)  # fmt: skip
"""Parts of models that are named; a pipeline's other parts are counted together."""


class StateCollector(Collector):
    """Gives Prometheus the state of a studio at the moment of the question."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def describe(self) -> list[Metric]:
        """Nothing: a description would ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families. A database that does not answer is the caller's to tell of."""
        yield from self._queue()
        yield from self._memory()
        yield from engine_families(self._studio.engine_report())

    def _queue(self) -> Iterator[Metric]:
        studio = self._studio
        jobs = GaugeMetricFamily("atelier_jobs", "Jobs in the table, by state.", labels=["state"])
        for state, count in job_counts(studio).items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily("atelier_lanes", "Jobs that are drawn at a time.", studio.options.run.lanes)
        held = "Bytes of requests that wait, pictures included."
        yield GaugeMetricFamily("atelier_queue_waiting_bytes", held, studio.queue.waiting_bytes())
        most = float(studio.settings["queue_input_mb"]) * 2**20
        yield GaugeMetricFamily("atelier_queue_waiting_bytes_limit", "How many may be; 0 is no bound.", most)
        yield GaugeMetricFamily("atelier_queue_paused", "1 while no jobs are started.", float(studio.queue.paused))
        ready = studio.status.ready and studio.status.trouble is None
        yield GaugeMetricFamily("atelier_ready", "1 while /readyz says that a picture can be drawn.", float(ready))

    def _memory(self) -> Iterator[Metric]:
        figures = memory_figures(self._studio.memory_report())
        memory = GaugeMetricFamily("atelier_memory_bytes", "Memory, by whose it is.", labels=["of"])
        for name, value in figures.items():
            memory.add_metric([name], value)
        yield memory


def job_counts(studio: Studio) -> dict[str, int]:
    """Jobs in the table by state, those of ended jobs as long as they are kept."""
    return {
        state: studio.queue.page(JobFilter(states=(state,)), limit=1).total
        for state in get_args(JobState)
    }  # fmt: skip


def memory_figures(report: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of process, machine and device; what is not known is left out."""
    ram, cuda = report.get("ram", {}), report.get("cuda", {})
    system, allocated = cuda.get("system", {}), cuda.get("allocated", {})
    found = {
        "process": ram.get("used"),
        "machine_free": ram.get("free"),
        "machine_total": ram.get("total"),
        "device_free": system.get("free"),
        "device_used": system.get("used"),
        "device_total": system.get("total"),
        "device_tensors": allocated.get("current"),
    }
    return {name: int(value) for name, value in found.items() if value is not None}


def engine_families(report: Mapping[str, Any]) -> Iterator[Metric]:
    """What the multiplexer and the caches did; empty families before there is an engine."""
    forwards = CounterMetricFamily("atelier_forwards", "Forwards of a part of a model.", labels=["part"])
    seconds = CounterMetricFamily("atelier_forward_seconds", "Seconds spent in them.", labels=["part"])
    calls = CounterMetricFamily("atelier_forward_calls", "Calls of lanes that they served.", labels=["part"])
    sizes = HistogramMetricFamily("atelier_merged_batch_samples", "Samples of a merged forward.", labels=["part"])
    rows = _by_part(report.get("targets", {}))
    for part, row in sorted(rows.items()):
        forwards.add_metric([part], row["forwards"])
        seconds.add_metric([part], row["seconds"])
        calls.add_metric([part], row["calls"])
        sizes.add_metric([part], _buckets(row["sizes"]), sum(size * count for size, count in row["sizes"].items()))
    yield from (forwards, seconds, calls, sizes)
    yield CounterMetricFamily("atelier_split_calls", "Merged calls that did not fit.", report.get("splits", 0))
    lookups = CounterMetricFamily("atelier_cache_lookups", "Looks into a cache.", labels=["cache", "result"])
    for cache, tally in sorted(report.get("caches", {}).items()):
        for result in ("hits", "misses"):
            lookups.add_metric([cache, result], tally[result])
    yield lookups
    yield GaugeMetricFamily("atelier_resident_models", "Models in memory.", len(report.get("models", ())))


def _by_part(targets: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for name, row in targets.items():
        nothing: dict[str, Any] = {"forwards": 0, "seconds": 0.0, "calls": 0, "sizes": {}}
        into = rows.setdefault(name if name in PARTS else "other", nothing)
        for key in ("forwards", "seconds", "calls"):
            into[key] += row[key]
        for size, count in row["sizes"].items():
            into["sizes"][size] = into["sizes"].get(size, 0) + count
    return rows


def _buckets(sizes: Mapping[int, int]) -> list[tuple[str, float]]:
    edges = [(str(float(edge)), float(sum(n for size, n in sizes.items() if size <= edge))) for edge in SIZES]
    return [*edges, ("+Inf", float(sum(sizes.values())))]
