"""Where the studio takes the facade in, if it is there."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from modules.a1111.adapting import read_legacy
from modules.a1111.house import HOUSE, Services
from modules.a1111.importing import install, prepare
from modules.contracts.catalog import Catalog
from modules.scripts.loading import Reader, read_v1
from modules.support.paths import Paths
from modules.support.settings import Settings


@dataclass(frozen=True, slots=True)
class Facade:
    """What the shelf of scripts needs of it."""

    readers: tuple[Reader, ...] = (read_v1, read_legacy)

    def prepare(self, module: ModuleType) -> None:
        """Give a module of an extension the names that A1111's extensions import."""
        prepare(module)


def open_facade(paths: Paths, settings: Settings, catalog: Catalog) -> Facade:
    """From now on extensions see this studio."""
    HOUSE.open(Services(paths, settings, catalog))
    install()
    return Facade()
