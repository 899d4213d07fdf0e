"""A1111's options: the studio's settings where the key is known, and those that extensions add."""

from __future__ import annotations

from typing import Any

from modules.a1111.house import HOUSE
from modules.contracts.errors import NotReady, UnsupportedFeature


class OptionInfo:
    """An option that an extension adds."""

    def __init__(self, default: Any = None, label: str = "", *look: Any, **given: Any) -> None:
        self.default, self.label = default, label
        self.component, self.component_args = (*look, None, None)[:2]
        vars(self).update(given)

    def info(self, text: str) -> OptionInfo:
        """Words beside it."""
        return self

    link = html = js = info

    def needs_reload_ui(self) -> OptionInfo:
        """The page is built at the start."""
        return self

    def needs_restart(self) -> OptionInfo:
        """As `needs_reload_ui`."""
        return self


def options_section(section: Any, options: dict[str, OptionInfo]) -> dict[str, OptionInfo]:
    """The options, told their section."""
    for option in options.values():
        vars(option)["section"] = section
    return options


class Options:
    """Read by attribute; `AttributeError` for a key that neither the studio nor an extension has."""

    def __init__(self) -> None:
        vars(self)["data_labels"] = {}

    def add_option(self, key: str, info: OptionInfo) -> None:
        """An option of an extension's own. It has its default."""
        vars(self)["data_labels"][key] = info

    def __getattr__(self, key: str) -> Any:
        """The studio's setting of that key, or an extension's default."""
        if key.startswith("__"):
            raise AttributeError(key)
        try:
            return HOUSE.services.settings[key]
        except (KeyError, NotReady):
            option = vars(self)["data_labels"].get(key)
        if option is None:
            raise AttributeError(f"there is no option {key!r}")
        return option.default

    def __setattr__(self, key: str, value: Any) -> None:
        """Raises `UnsupportedFeature`."""
        self.set(key, value)

    def set(self, key: str, value: Any, *how: Any, **named: Any) -> bool:
        """Raises `UnsupportedFeature`: settings are an admin's, and hold for everybody."""
        raise UnsupportedFeature(
            f"opts.{key}: an extension cannot change settings; p.override_settings is for one job."
        )

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        return getattr(self, key, default)

    @property
    def data(self) -> dict[str, Any]:
        """All values by key, as a copy."""
        added = {key: option.default for key, option in vars(self)["data_labels"].items()}
        return {**added, **HOUSE.services.settings.public()}

    def onchange(self, key: str, call: Any, call_immediately: bool = True) -> None:
        """Settings change between jobs only; `call` is called once if that is wanted."""
        if call_immediately:
            call()
