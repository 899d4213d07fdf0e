"""What there is to draw with: the catalogues of models, samplers, networks and prompts, as the studio opens them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.bootstrap.options import Options
from modules.contracts.accounts import Accounts
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import Scripts
from modules.support.paths import Paths
from modules.support.preferences import Preferences
from modules.support.settings import Settings

if TYPE_CHECKING:
    from modules.contracts.run import Engine
    from modules.control.catalog import ControlCatalog
    from modules.detectors.catalog import DetectorCatalog
    from modules.experiments.marks import Marks
    from modules.networks.catalog import NetworkCatalog
    from modules.processing_diffusers.stock import Stock
    from modules.prompts.book import PromptBook
    from modules.scripts.installation.installer import ExtensionInstaller
    from modules.scripts.shelf import ScriptShelf
    from modules.sd_models.catalog import StudioCatalog
    from modules.sd_samplers.table import SamplerTable


@dataclass(frozen=True, slots=True)
class Shelves:
    """Each reads its files when it is asked first."""

    settings: Settings
    catalog: StudioCatalog
    table: SamplerTable
    networks: NetworkCatalog
    prompts: PromptBook
    controls: ControlCatalog
    detectors: DetectorCatalog
    scripts: ScriptShelf
    installer: ExtensionInstaller

    def stock(self) -> Stock:
        """All of them, as the engine wants them."""
        from modules.processing_diffusers.stock import Stock

        return Stock(self.catalog, self.table, self.prompts, self.networks, self.controls, self.detectors)

    def examine(self, request: GenerationRequest) -> None:
        """Raise `StudioError` for what no lane would draw."""
        from modules.processing_diffusers.examination import examine_request

        examine_request(request, self.catalog, self.settings, self.networks, self.controls, self.detectors)
        self.scripts.check(request)

    def marks(self, accounts: Accounts) -> Marks:
        """What a cell of an experiment is drawn from besides its request."""
        from modules.experiments.marks import marks_of

        return marks_of(self.catalog, Preferences(self.settings, accounts).public, self.networks, self.prompts)

    def services(self) -> dict[str, Any]:
        """Those of the studio's services that are shelves, by their names there."""
        return {name: getattr(self, name) for name in ("networks", "controls", "detectors", "prompts", "installer")}

    def desk(self) -> Scripts:
        """The scripts as the fronts see them."""
        from modules.scripts.desk import ScriptDesk

        return ScriptDesk(self.scripts)

    def scripted(self, engine: Callable[[], Engine]) -> Callable[[], Engine]:
        """Where an engine comes from whose jobs the scripts take part in."""
        from modules.scripts.engine import ScriptedEngine

        def limit() -> float:
            return float(self.settings["script_seconds"])

        def get() -> Engine:
            return ScriptedEngine(engine(), self.scripts, self.examine, limit)

        return get


def open_shelves(options: Options, paths: Paths, settings: Settings) -> Shelves:
    """All of them for one installation."""
    from modules.control.catalog import ControlCatalog
    from modules.detectors.catalog import DetectorCatalog
    from modules.networks.catalog import NetworkCatalog
    from modules.prompts.book import PromptBook
    from modules.scripts.preloading import Preloads
    from modules.scripts.shelf import ScriptShelf
    from modules.sd_samplers.table import load_table

    table = load_table(paths.configs / "samplers.json")
    catalog = _open_catalog(options, paths, settings, table)
    prompts, controls, detectors = PromptBook(paths, catalog), ControlCatalog(paths), DetectorCatalog(paths)
    installer, facade = open_installer(options), _facade(paths, settings, catalog)
    preloads = Preloads(options.run.words, facade.pop("flags", _nobody))
    scripts = ScriptShelf(
        [options.paths.extensions_dir],
        paths.scripts,
        paths.data,
        safe=options.run.safe_mode,
        libraries=installer.mount,
        preloads=preloads,
        **facade,
    )
    scripts.scan()
    if not options.run.safe_mode:
        preloads.check()
    installer.changed = scripts.renew
    return Shelves(settings, catalog, table, NetworkCatalog(paths), prompts, controls, detectors, scripts, installer)


def open_installer(options: Options) -> ExtensionInstaller:
    """What brings extensions in, for one installation."""
    from modules.scripts.installation.installer import ExtensionInstaller

    paths, run = options.paths, options.run
    return ExtensionInstaller(
        paths.extensions_dir, paths.data_dir, models=paths.models_dir, offline=run.offline, safe=run.safe_mode
    )


def open_shelf(options: Options, paths: Paths, folders: Sequence[Path], data: Path) -> ScriptShelf:
    """A shelf over other folders, which reads as the studio's own does; it has not looked yet."""
    from modules.scripts.preloading import Preloads
    from modules.scripts.shelf import ScriptShelf
    from modules.sd_samplers.table import load_table
    from modules.support.options import CORE_SETTINGS

    settings = Settings(CORE_SETTINGS, paths.data)
    catalog = _open_catalog(options, paths, settings, load_table(paths.configs / "samplers.json"))
    mount = open_installer(options).mount
    facade = _facade(paths, settings, catalog)
    preloads = Preloads(tell=facade.pop("flags", _nobody))
    return ScriptShelf(folders, [], data, libraries=mount, preloads=preloads, **facade)


def _facade(paths: Paths, settings: Settings, catalog: StudioCatalog) -> dict[str, Any]:
    """What lets scripts run that were written for A1111; nothing where its folder is not there."""
    if importlib.util.find_spec("modules.a1111") is None:
        return {}
    facade = importlib.import_module("modules.a1111.opening").open_facade(paths, settings, catalog)
    return {"reading": facade.reading, "flags": facade.flags}


def _nobody(values: Mapping[str, Any]) -> None:
    """Nobody reads flags of extensions."""


def _open_catalog(options: Options, paths: Paths, settings: Settings, table: SamplerTable) -> StudioCatalog:
    from modules.sd_models.catalog import StudioCatalog, Tables
    from modules.sd_models.families import load_families
    from modules.upscalers.table import UPSCALERS

    catalog = StudioCatalog(
        paths,
        Tables(
            families=load_families(paths.configs / "families.json"),
            samplers=table.samplers(),
            schedulers=table.schedulers(),
            upscalers=UPSCALERS,
        ),
        default_model=lambda: settings["sd_model_checkpoint"] or None,
        given=options.paths,
    )

    def changed(changes: Mapping[str, Any]) -> None:
        if "sd_model_checkpoint" in changes:
            catalog.displace_given()

    settings.watch(changed)
    return catalog
