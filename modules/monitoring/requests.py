"""HTTP requests, counted by the template of their route and by how they were answered."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from modules.monitoring.jobs import OTHER, error_kinds

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REASONS = error_kinds() | {
    "foreign_host", "foreign_origin", "too_large", "unsupported_media_type", "invalid_body", "internal_error",
    "client_gone",
}  # fmt: skip
"""Why a request is refused; anything else counts as `other`."""
SECONDS = (0.005, 0.025, 0.1, 0.25, 1, 5, 30, 120)


class RequestMeter:
    """Counts requests. Safe from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "atelier_http_requests", "Answered requests.", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "atelier_http_request_seconds",
            "From a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "atelier_http_refused", "Requests that were refused or failed.", ["reason"], registry=registry
        )

    def count(self, method: str, route: str, status: int, seconds: float, reason: str | None = None) -> None:
        """One request was answered. `route` is a template and never an address that somebody made up."""
        self.requests.labels(method if method in METHODS else OTHER, route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        if reason is not None:
            self.refused.labels(reason if reason in REASONS else OTHER).inc()

    def reasons(self) -> dict[str, int]:
        """How many requests were refused so far, by reason."""
        (family,) = self.refused.collect()
        return {
            sample.labels["reason"]: int(sample.value) for sample in family.samples if sample.name.endswith("_total")
        }
