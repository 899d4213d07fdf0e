"""All figures of one studio, and the text in which Prometheus reads them.

The text is Prometheus' exposition format 0.0.4. Every label comes from a set that is known beforehand: states, kinds of
errors, templates of routes, parts of models. Names of people and models, prompts and folders are in none of them.
"""

from __future__ import annotations

import time

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Gauge, ProcessCollector, generate_latest

from modules.monitoring.jobs import JobMeter
from modules.monitoring.requests import RequestMeter
from modules.monitoring.state import StateCollector
from modules.support.studio import Studio

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Meters:
    """Counts from now on. A registry of its own keeps studios of one process apart."""

    def __init__(self, studio: Studio) -> None:
        self.registry = CollectorRegistry()
        self.jobs = JobMeter(studio.bus, self.registry)
        self.requests = RequestMeter(self.registry)
        self.began = time.time()
        """When counting began, in seconds since 1970."""
        ProcessCollector(registry=self.registry)
        info = Gauge("atelier_info", "Always 1; the version is a label.", ["version"], registry=self.registry)
        info.labels(studio.versions.get("atelier", "")).set(1)
        self.registry.register(StateCollector(studio))

    def render(self) -> bytes:
        """The exposition. Asks the database, so it blocks."""
        return generate_latest(self.registry)
