"""A1111's options: the studio's settings where the key is known, and those that extensions add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.a1111.house import HOUSE
from modules.contracts.errors import NotReady, UnsupportedFeature

USUAL: Mapping[str, Any] = {
    "img2img_background_color": "#ffffff",
    "img2img_color_correction": False,
    "img2img_fix_steps": False,
    "initial_noise_multiplier": 1.0,
    "eta_noise_seed_delta": 0,
    "CLIP_stop_at_last_layers": 1,
    "samples_save": True,
    "grid_save": False,
    "grid_format": "png",
    "jpeg_quality": 80,
    "webp_lossless": False,
    "save_images_add_number": True,
    "use_original_name_batch": True,
    "save_to_dirs": True,
    "samples_filename_pattern": "",
    "outdir_samples": "",
    "face_restoration_model": None,
    "code_former_weight": 0.5,
    "upscaler_for_img2img": None,
    "enable_pnginfo": True,
    "randn_source": "CPU",
    "return_grid": False,
    "font": "",
}
"""What A1111 has where nobody set anything, for its options that the studio has no setting of."""


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
        if option is None and key in USUAL:
            return USUAL[key]
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
        return {**USUAL, **added, **HOUSE.services.settings.public()}

    def onchange(self, key: str, call: Any, call_immediately: bool = True) -> None:
        """Settings change between jobs only; `call` is called once if that is wanted."""
        if call_immediately:
            call()
