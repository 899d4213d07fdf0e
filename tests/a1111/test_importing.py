"""What extensions get when they import, and that the studio stands without the facade."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

import modules.scripts
from modules.a1111 import shared
from modules.a1111.house import HOUSE, Services
from modules.a1111.opening import open_facade
from modules.contracts.errors import UnsupportedFeature
from modules.scripts.preloading import Preloads
from modules.scripts.shelf import ScriptShelf
from modules.support.paths import ROOT, Paths


class Catalogue:
    """Of a studio without models."""

    def samplers(self):
        return ()

    def vaes(self):
        return (SimpleNamespace(name="soft"),)


@pytest.fixture
def loaded(tmp_path):
    """The only module of an extension of that source, by its error where it has one."""
    before = HOUSE._services
    shelves = []

    def make(source, **files):
        folder = tmp_path / "ext" / "one"
        (folder / "scripts").mkdir(parents=True)
        (folder / "scripts" / "one.py").write_text(textwrap.dedent(source))
        for name, text in files.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
        facade = open_facade(Paths(tmp_path, tmp_path / "models"), {"samples_format": "webp"}, Catalogue())
        shelf = ScriptShelf([tmp_path / "ext"], [], tmp_path, reading=facade.reading)
        shelves.append(shelf)
        shelf.scan()
        extension = shelf.get("one")
        return sys.modules[f"{extension.package}.scripts.one"] if extension.loaded else extension.error

    yield make
    for shelf in shelves:
        shelf.close()
    if isinstance(before, Services):
        HOUSE.open(before)


def test_every_way_to_import_gives_the_facade_and_our_own_api_keeps_its_place(loaded):
    module = loaded(
        """
        import modules.scripts as scripts
        import modules.scripts.v1 as ours
        from modules import scripts as again, shared, script_callbacks, processing, images, devices, paths, errors
        from modules.scripts import AlwaysVisible, Script, basedir
        from modules.scripts.v1 import Number
        import modules.shared
        import gradio as gr, launch
        from helper import base

        kept = modules.shared.opts is shared.opts
        here = basedir()
        """,
        helper="import modules.scripts as scripts\nbase = scripts.Script\n",
    )
    assert module.scripts is module.again
    assert module.base is module.Script
    assert module.kept
    assert module.ours.Number is module.Number
    assert module.ours is modules.scripts.v1
    assert not hasattr(modules.scripts, "Script")
    assert module.here.endswith("one")
    assert module.gr.__name__ != "gradio"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from modules import nothing_such", "nothing_such"),
        ("import modules.nothing_such", "nothing_such"),
        ("from modules.contracts import request", "No module named 'modules.contracts' for extensions"),
        ("import modules.scripts.session", "No module named 'modules.scripts.session' for extensions"),
        ("from modules.shared import nothing_such", "nothing_such"),
        ("from modules import scripts\nclass A(scripts.Script):\n    def title(self): return 'A'\n"
         "    def ui(self, is_img2img): return [3]", "ui() gave int at place 0, which is no input"),
    ],
)  # fmt: skip
def test_what_is_not_there_keeps_the_extension_from_loading_by_name(loaded, source, said):
    assert said in loaded(source)


def test_options_are_the_studios_settings_and_those_that_extensions_add(loaded):
    module = loaded(
        """
        from modules import shared, script_callbacks
        def add():
            shared.opts.add_option("one_share", shared.OptionInfo(0.5, "Share", section=("one", "One")).info("x"))
        script_callbacks.on_ui_settings(add)
        """
    )
    assert module.shared.opts.samples_format == "webp"
    assert module.shared.opts.one_share == 0.5
    assert getattr(module.shared.opts, "never_heard_of", "usual") == "usual"
    with pytest.raises(UnsupportedFeature, match="cannot change settings"):
        module.shared.opts.samples_format = "png"


def test_a_grid_takes_axes_of_an_extension_before_its_inputs_are_asked_for(loaded):
    module = loaded(
        """
        import modules.scripts as scripts
        from gradio.components import Slider
        from modules import images, script_callbacks
        from PIL import Image
        def add():
            (grid,) = [one.module for one in scripts.scripts_data if one.script_class.__module__ == "xyz_grid.py"]
            grid.axis_options.extend({grid.AxisOption("[One] Share", float, grid.apply_field("one_share"))})
        script_callbacks.on_before_ui(add)
        class Script(scripts.Script):
            def title(self):
                return "One"
            def ui(self, is_img2img):
                self.axes = [one.label for one in scripts.scripts_data[0].module.axis_options]
                assert self.axes[-1] == "[One] Share" and self.axes.count("[One] Share") == 1
                return [Slider(0, 1, label="Share")]
        image = Image.new("RGB", (8, 8))
        image.info = {"parameters": "a cat", "dpi": 72}
        read = images.read_info_from_image(image)
        """
    )
    assert module.read == ("a cat", {"dpi": 72})
    grid = module.scripts.__getattr__  # what others see of it
    assert grid("scripts_data") == []


def test_what_needs_a_job_says_so_outside_of_one(loaded):
    module = loaded("from modules import processing, images, shared")
    with pytest.raises(UnsupportedFeature, match="works inside of a job only"):
        module.processing.StableDiffusionProcessingTxt2Img(prompt="x")
    with pytest.raises(UnsupportedFeature, match="works inside of a job only"):
        module.images.save_image(None, "")
    with pytest.raises(UnsupportedFeature, match="ended by whoever asked for it"):
        module.shared.state.interrupt()


def test_a_studio_without_the_folder_has_nothing_of_it():
    code = """
    import importlib.util, sys
    real = importlib.util.find_spec
    importlib.util.find_spec = lambda name, package=None: None if name == "modules.a1111" else real(name, package)
    from modules.shelves import _facade
    assert _facade(None, None, None) == {}
    assert not [name for name in sys.modules if name.startswith("modules.a1111")]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=True)


def test_flags_of_a_preload_stand_beside_a1111s_own(tmp_path):
    before, services = dict(vars(shared.cmd_opts)), HOUSE._services
    folder = tmp_path / "extensions" / "haze"
    (folder / "scripts").mkdir(parents=True)
    (folder / "preload.py").write_text(
        "import os\nfrom modules import paths\n\ndef preload(parser):\n"
        "    parser.add_argument('--haze-dir', default=os.path.join(paths.models_path, 'haze'))\n"
        "    parser.add_argument('--lowvram', default='mine')\n"
    )
    (folder / "scripts" / "a.py").write_text("from modules.shared import cmd_opts\nKEPT = cmd_opts.haze_dir\n")
    facade = open_facade(Paths(tmp_path, tmp_path / "weights"), {}, Catalogue())
    shelf = ScriptShelf(
        [tmp_path / "extensions"], [], tmp_path, reading=facade.reading, preloads=Preloads((), facade.flags)
    )
    try:
        shelf.scan()
        assert shelf.get("haze").error == ""
        assert shared.cmd_opts.haze_dir == str(tmp_path / "weights" / "haze")
        assert shared.cmd_opts.lowvram is False
    finally:
        shelf.close()
        vars(shared.cmd_opts).clear()
        vars(shared.cmd_opts).update(before)
        HOUSE._services = services


def test_components_of_the_page_and_of_its_own_are_told_before_and_after(loaded):
    module = loaded(
        """
        import gradio as gr
        from modules import script_callbacks, scripts
        HEARD, KEPT = [], {}
        def before(component, **kwargs):
            HEARD.append(("before", kwargs.get("elem_id"), component.label))
        def after(component, **kwargs):
            HEARD.append(("after", kwargs.get("elem_id"), component.label))
            if kwargs.get("elem_id") == "txt2img_generate":
                KEPT["button"] = component
        script_callbacks.on_before_component(before)
        script_callbacks.on_after_component(after)
        class Script(scripts.Script):
            def __init__(self):
                self.heard = []
                self.on_after_component(lambda told: self.heard.append(told.component), elem_id="img2img_prompt")
            def title(self):
                return "One"
            def show(self, is_img2img):
                return scripts.AlwaysVisible if is_img2img else False
            def before_component(self, component, **kwargs):
                KEPT.setdefault("first", kwargs)
            def after_component(self, component, **kwargs):
                KEPT["last"] = component
            def ui(self, is_img2img):
                KEPT["button"].click(fn=None, inputs=[], outputs=[])
                KEPT["prompt"] = self.heard
                return [gr.Slider(0, 1, 0.5, label="Share", elem_id="mine")]
        """
    )
    heard = module.HEARD
    assert heard.index(("before", "txt2img_generate", None)) < heard.index(("after", "txt2img_generate", "generate"))
    assert heard.index(("after", "img2img_generate", "generate")) < heard.index(("before", "mine", None))
    assert heard[-1] == ("after", "mine", "Share")
    assert (module.KEPT["last"].label, module.KEPT["first"]["elem_id"]) == ("Share", "img2img_prompt")
    assert [one.elem_id for one in module.KEPT["prompt"]] == ["img2img_prompt"]
    assert module.gr.Slider(0, 1, 0.5, label="Later") is not None
    assert heard[-1] == ("after", "mine", "Share")


def test_lists_of_vaes_and_of_extensions_are_the_studios(loaded, tmp_path):
    module = loaded(
        """
        from modules import extensions, shared_items, scripts
        vaes = shared_items.sd_vae_items()
        def ask():
            return [(one.name, one.path, one.enabled) for one in extensions.active()]
        """
    )
    assert module.vaes == ["Automatic", "None", "soft"]
    assert ("one", str(tmp_path / "ext" / "one"), True) in module.ask()
