"""Where the studio takes the facade in, if it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modules.a1111.adapting import read_legacy
from modules.a1111.house import HOUSE, Services
from modules.a1111.importing import install, prepare
from modules.a1111.shared import cmd_opts
from modules.contracts.catalog import Catalog
from modules.scripts.loading import Reading, read_v1
from modules.support.paths import Paths
from modules.support.settings import Settings

READING = Reading((read_v1, read_legacy), prepare)


@dataclass(frozen=True, slots=True)
class Facade:
    """What the shelf of scripts needs of it."""

    reading: Reading = READING
    """Modules of extensions get the names that A1111's extensions import."""

    def flags(self, values: Mapping[str, Any]) -> None:
        """Let extensions read the flags that they brought in `shared.cmd_opts`; A1111's own keep their values there."""
        vars(cmd_opts).update({name: value for name, value in values.items() if name not in OWN_FLAGS})


OWN_FLAGS = frozenset(vars(cmd_opts))
"""Names of A1111's flags that stand there before any extension brings its own."""


def open_facade(paths: Paths, settings: Settings, catalog: Catalog) -> Facade:
    """From now on extensions see this studio."""
    HOUSE.open(Services(paths, settings, catalog))
    install()
    return Facade()
