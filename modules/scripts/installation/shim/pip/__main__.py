"""`python -m pip`."""

from __future__ import annotations

import sys

from modules.scripts.installation.shim.pip import main

sys.exit(main())
