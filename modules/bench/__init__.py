"""Benchmarks: ratios taken side by side in one run, printed as JSON. Never part of the tests."""
