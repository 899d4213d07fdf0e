"""Grids: requests that vary along axes, drawn as ordinary jobs, shown on sheets."""
