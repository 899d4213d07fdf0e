"""Watching the studio: figures for Prometheus and for the status page, and the test picture behind `/readyz`."""
