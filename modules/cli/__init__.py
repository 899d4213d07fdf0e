"""The terminal front: one file per command, imported when that command runs."""
