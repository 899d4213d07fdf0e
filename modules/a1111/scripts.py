"""A1111's `modules.scripts`: the base of its scripts. `v1` is our own API, which is there under its own name, too."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.a1111.importing import PREFIX, package_of
from modules.scripts import v1 as v1


class _AlwaysVisible:
    """What `show` gives for a script that takes part in every job."""

    def __repr__(self) -> str:
        return "AlwaysVisible"


AlwaysVisible = _AlwaysVisible()


class Script:
    """Base of A1111's scripts. One object a tab; methods that are not overridden are never called."""

    name: str | None = None
    section: str | None = None
    filename: str | None = None
    args_from: int | None = None
    args_to: int | None = None
    alwayson = False
    is_txt2img = False
    is_img2img = False
    tabname: str | None = None
    group: Any = None
    create_group = True
    infotext_fields: Any = None
    paste_field_names: Any = None
    api_info: Any = None
    controls: Any = None
    sorting_priority = 0
    setup_for_ui_only = False
    on_before_component_elem_id: Any = None
    on_after_component_elem_id: Any = None

    def title(self) -> str:
        """By this it is known; the class's name where a script says none."""
        return type(self).__name__

    def show(self, is_img2img: bool) -> Any:
        """False, True for a script to choose, or `AlwaysVisible`."""
        return True

    def ui(self, is_img2img: bool) -> Any:
        """Its inputs, in the order in which methods get their values."""

    def before_component(self, component: Any, **kwargs: Any) -> None:
        """A component of the page, or of the script's own, is about to stand there."""

    def after_component(self, component: Any, **kwargs: Any) -> None:
        """It stands there."""

    def on_before_component(self, callback: Any, *, elem_id: str) -> None:
        """`callback` gets an object with the `component` of that id, before it stands there."""
        self.on_before_component_elem_id = [*(self.on_before_component_elem_id or ()), (elem_id, callback)]

    def on_after_component(self, callback: Any, *, elem_id: str) -> None:
        """The same once it stands there."""
        self.on_after_component_elem_id = [*(self.on_after_component_elem_id or ()), (elem_id, callback)]

    def run(self, p: Any, *args: Any) -> Any:
        """Own the job."""

    def setup(self, p: Any, *args: Any) -> None:
        """Before everything else."""

    def before_process(self, p: Any, *args: Any) -> None:
        """The job begins."""

    def process(self, p: Any, *args: Any) -> None:
        """Seeds are known."""

    def before_process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """A batch begins."""

    def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """A batch begins, after `before_process_batch`."""

    def after_extra_networks_activate(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The tags of the batch's prompts are known, before `process_batch`."""

    def post_sample(self, p: Any, ps: Any, *args: Any) -> None:
        """The last pass of a batch is drawn."""

    def process_before_every_sampling(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """A pass begins."""

    def before_hr(self, p: Any, *args: Any) -> None:
        """The second pass begins."""

    def postprocess_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """A batch is decoded."""

    def postprocess_batch_list(self, p: Any, pp: Any, *args: Any, **kwargs: Any) -> None:
        """A batch is decoded, as a list."""

    def postprocess_image(self, p: Any, pp: Any, *args: Any) -> None:
        """A picture is finished."""

    def postprocess_image_after_composite(self, p: Any, pp: Any, *args: Any) -> None:
        """A picture is finished and what was kept of a given one is put back."""

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """The job is finished."""

    def elem_id(self, item_id: str) -> str:
        """The id of an input on the page."""
        tab = "" if self.show(True) != self.show(False) else ("img2img_" if self.is_img2img else "txt2img_")
        return f"script_{tab}{re.sub(r'[^a-z_0-9]+', '', self.title().lower().replace(' ', '_'))}_{item_id}"

    def describe(self) -> str:
        """Words for people."""
        return ""


@dataclass(slots=True)
class PostprocessImageArgs:
    """One picture, PIL."""

    image: Any
    index: int = 0


@dataclass(slots=True)
class PostSampleArgs:
    """Latents (pictures, C, H, W) as they come out of the last pass; may be changed in place or replaced."""

    samples: Any


@dataclass(slots=True)
class PostprocessBatchListArgs:
    """The pictures of a batch, each a tensor (3, H, W) from 0 to 1."""

    images: list[Any]


def __getattr__(name: str) -> Any:
    """`scripts_data`: what there is of A1111's own scripts for the extension that asks."""
    if name == "scripts_data":
        from modules.a1111.xyz_grid import scripts_data

        return scripts_data(str(sys._getframe(1).f_globals.get("__name__", "")))
    raise AttributeError(f"modules.scripts has no {name!r} here")


def basedir() -> str:
    """The folder of the extension that asks."""
    name = package_of(str(sys._getframe(1).f_globals.get("__name__", "")))
    package = sys.modules.get(name)
    if not name.startswith(PREFIX) or package is None:
        return str(Path.cwd())
    return str(next(iter(package.__path__)))
