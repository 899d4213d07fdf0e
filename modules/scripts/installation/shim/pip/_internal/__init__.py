"""Where `from pip._internal import main` looks."""

from __future__ import annotations

from modules.scripts.installation.shim.pip import main as main
