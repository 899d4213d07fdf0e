"""What the program `pip` calls."""

from __future__ import annotations

from modules.scripts.installation.shim.pip import main as main
