"""Each method of A1111's scripts by what it does to a job, and what is refused with a sentence."""

from __future__ import annotations

import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from modules.a1111.callbacks import called_script
from modules.a1111.script_callbacks import registered
from modules.api.infotext import fill_from_infotext, parameters_of
from modules.contracts.request import CanvasParams, HiresParams, OutputParams, PromptParams, SeedParams
from modules.contracts.result import Picture
from modules.scripts.context import JobContext, Line
from modules.ui.handlers import Handlers
from tests.a1111.conftest import put
from tests.a1111.test_scripts import PLAIN, drawn, pixels

HEAD = """
from modules import images, processing, script_callbacks, scripts, shared

class Probe(scripts.Script):
    def title(self):
        return "Probe"

    def show(self, is_img2img):
        return scripts.AlwaysVisible
"""

SAVING = """
def save(params):
    params.image.paste("white", (0, 0, *params.image.size))
    params.pnginfo["parameters"] += ", Saved by: " + params.p.prompt
    folder, name = params.filename.rsplit("/", 1)
    assert folder.endswith("/probe")
    assert name.startswith("00000-3-")
    assert name.endswith(".png")

script_callbacks.on_before_image_saved(save)
"""


@pytest.fixture
def probed(legacy_studio):
    """Draws with one more extension, whose always-on script has those methods."""
    folder = legacy_studio.paths.data.parent

    def draw(methods, request=PLAIN, after=""):
        body = "".join(f"    {line}\n" for line in methods.strip().splitlines())
        put(folder, "probe/scripts/probe.py", f"{HEAD}\n{body}\n{after}")
        legacy_studio.scripts.refresh()
        legacy_studio.scripts.switch("probe", "reload")
        entry = next(one for one in legacy_studio.scripts.entries() if one.name == "probe")
        assert entry.state == "on", entry.trace
        return drawn(legacy_studio, request=request)

    yield draw
    (folder / "extensions/probe/scripts/probe.py").unlink()
    (folder / "extensions/probe/scripts").rmdir()
    (folder / "extensions/probe").rmdir()
    legacy_studio.scripts.refresh()


def test_words_can_still_be_changed_when_the_only_batch_begins(legacy_studio, probed):
    result = probed("def before_process_batch(self, p, **kwargs):\n    kwargs['prompts'][0] = 'a blue square'")
    assert result.notes == ()
    assert result.pictures[0].prompt == "a blue square"
    goal = drawn(legacy_studio, request=replace(PLAIN, prompt=PromptParams("a blue square")))
    assert np.array_equal(pixels(result.pictures[0]), pixels(goal.pictures[0]))


def test_fields_of_p_reach_the_job(probed):
    result = probed(
        "def before_process(self, p):\n    p.seed, p.n_iter, p.steps, p.width = 11, 2, 3, 96\n"
        "    p.override_settings['CLIP_stop_at_last_layers'] = 2"
    )
    assert [one.seed for one in result.pictures] == [11, 12]
    assert result.pictures[0].image.size == (96, 64)
    assert "Steps: 3" in result.pictures[0].infotext
    assert "Clip skip: 2" in result.pictures[0].infotext


def test_each_picture_can_have_words_and_a_seed_of_its_own(legacy_studio, probed):
    """More prompts than the job has pictures make it longer if a script says so, as in A1111."""
    goal = drawn(legacy_studio, request=replace(PLAIN, prompt=PromptParams("a blue square", "x"), seeds=SeedParams(7)))
    result = probed(
        "def process(self, p):\n    p.n_iter = 2\n"
        "    p.all_prompts, p.all_negative_prompts = ['a red circle', 'a blue square', 'a red star'], ['', 'x', '']\n"
        "    p.all_seeds, p.all_subseeds = [1, 7, 7], [0, 0, 0]",
        replace(PLAIN, canvas=CanvasParams(64, 64, batch_size=2)),
    )
    assert result.notes == ()
    assert [(one.index, one.prompt, one.negative, one.seed) for one in result.pictures] == [
        (0, "a red circle", "", 1), (1, "a blue square", "x", 7), (2, "a red star", "", 7),
    ]  # fmt: skip
    assert np.array_equal(pixels(result.pictures[1]), pixels(goal.pictures[0]))
    assert result.pictures[1].infotext.startswith("a blue square\nNegative prompt: x\n")
    assert "Seed: 7," in result.pictures[2].infotext


OWN = """
class Second(Probe):
    def title(self):
        return "Second"

    def {method}(self, p):
        {change}
    {rest}
"""


@pytest.mark.parametrize(
    ("method", "change", "prompts", "seeds"),
    [
        ("process", "p.all_prompts = [one + ' up' for one in p.all_prompts]", ["a cat up", "a dog up"], [9, 5]),
        ("process", "pass", ["a cat", "a dog"], [9, 5]),
        ("before_process", "p.prompt = 'a fish'", ["a fish", "a fish"], [9, 5]),
        ("process", "p.prompt = 'a fish'", ["a fish", "a fish"], [9, 5]),
        ("process", "p.all_prompts, p.all_seeds = ['a fish'] * 2, [1, 2]", ["a fish", "a fish"], [1, 2]),
        ("before_process", "p.seed = 20", ["a cat", "a dog"], [20, 21]),
        ("before_process", "p.n_iter = 3", ["a cat", "a dog", "a red circle"], [9, 5, 5]),
        ("process", "p.n_iter = 1", ["a cat"], [9]),
    ],
)  # fmt: skip
def test_a_second_script_goes_on_from_the_words_of_the_first(probed, method, change, prompts, seeds):
    rest = "" if method == "process" else "def process(self, p):\n        pass"
    result = probed(
        "def process(self, p):\n    p.all_prompts, p.all_seeds = ['a cat', 'a dog'], [9, 5]",
        replace(PLAIN, canvas=CanvasParams(64, 64, batch_count=2)),
        after=OWN.format(method=method, change=change, rest=rest),
    )
    assert result.notes == ()
    assert [one.prompt for one in result.pictures] == prompts
    assert [one.seed for one in result.pictures] == seeds
    assert [one.infotext.partition("\n")[0] for one in result.pictures] == prompts


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ("def process(self, p):\n    p.all_seeds = [1]", "The lists of all pictures have 2, 2, 1, 2 entries"),
        ("def process_batch(self, p, **kwargs):\n    kwargs['prompts'][0] = 'x'", "are settled when a batch begins"),
        ("def process(self, p):\n    p.override_settings['nothing'] = 1", "'nothing' cannot be set for one job"),
        ("def process(self, p):\n    p.sd_model.forge_objects", "the model's weights are the engine's"),
        ("def process(self, p):\n    p.steps = 'many'", "p.steps is 'many'"),
        ("def process_before_every_sampling(self, p, **kwargs):\n    kwargs['c']['crossattn']", "The conditioning c"),
    ],
)
def test_what_cannot_be_done_is_a_note_and_the_job_goes_on(legacy_studio, probed, methods, said):
    request = replace(PLAIN, canvas=CanvasParams(64, 64, batch_size=2))
    result = probed(methods, request)
    assert said in result.notes[0]
    assert [one.prompt for one in result.pictures] == ["a red circle"] * 2


def test_latents_can_be_changed_before_a_pass(legacy_studio, probed):
    result = probed("def process_before_every_sampling(self, p, x, noise, **kwargs):\n    x.zero_()")
    other = probed(
        "def process_before_every_sampling(self, p, x, noise, **kwargs):\n    x.zero_()",
        replace(PLAIN, seeds=SeedParams(77)),
    )
    assert result.notes == other.notes == ()
    assert np.array_equal(pixels(result.pictures[0]), pixels(other.pictures[0]))


def test_a_batch_as_a_list_can_be_changed(probed):
    result = probed(
        "def postprocess_batch_list(self, p, pp, *args, **kwargs):\n"
        "    pp.images = [one * 0 + number for number, one in enumerate(pp.images)]",
        replace(PLAIN, canvas=CanvasParams(64, 64, batch_size=2)),
    )
    assert [pixels(one).mean() for one in result.pictures] == [0, 255]


def test_the_end_is_told_with_all_pictures_and_what_comes_too_late_is_said(probed):
    result = probed(
        "def postprocess(self, p, processed):\n"
        "    assert len(processed.images) == 2 and processed.all_seeds == [3, 4]\n"
        "    assert 'a red circle' in processed.infotext(p, 1)\n"
        "    processed.images.append(processed.images[0])",
        replace(PLAIN, canvas=CanvasParams(64, 64, batch_count=2)),
    )
    assert len(result.pictures) == 2
    assert result.notes == ("Probe changed the pictures in postprocess, when they were already handed out.",)


def test_upscalers_of_the_studio_work_inside_of_a_job(probed):
    result = probed(
        "def postprocess_image(self, p, pp):\n"
        "    tool = next(one for one in shared.sd_upscalers if one.name == 'Nearest')\n"
        "    pp.image = tool.scaler.upscale(pp.image, 2, tool.data_path)"
    )
    assert result.notes == ()
    assert result.pictures[0].image.size == (128, 128)
    small = pixels(result.pictures[0])
    assert np.array_equal(small[::2, ::2], small[1::2, 1::2])


def test_the_denoisers_answers_are_heard_with_the_prompt_first(legacy_studio, probed):
    result = probed(
        "pass", after="def same(params):\n    half = len(params.x) // 2\n    params.x[:half] = params.x[half:]\n\n"
        "script_callbacks.on_cfg_denoised(same)\n"
    )  # fmt: skip
    other = drawn(legacy_studio, request=replace(PLAIN, prompt=PromptParams("a blue square")))
    assert result.notes == other.notes == ()
    assert np.array_equal(pixels(result.pictures[0]), pixels(other.pictures[0]))


def test_what_is_saved_can_be_changed_and_who_asked_gets_it_as_it_was(legacy_studio, probed):
    result = probed("pass", after=SAVING)
    assert result.notes == ()
    assert "Saved by" not in result.pictures[0].infotext
    (kept,) = legacy_studio.pictures.list(limit=1)
    assert kept.infotext.endswith("Saved by: a red circle")
    image = Image.open(io.BytesIO(legacy_studio.pictures.read(kept.id)))
    assert image.convert("RGB").getextrema() == ((255, 255),) * 3
    assert pixels(result.pictures[0]).min() < 255


SAVED = """
def note(params):
    with images.Image.open(params.filename) as image:
        assert image.info["parameters"] == params.pnginfo["parameters"]
        assert image.size == params.image.size
    with open(params.filename + ".txt", "w") as file:
        file.write(params.pnginfo["parameters"])

script_callbacks.on_image_saved(note)
"""


def test_what_was_saved_is_shown_as_a_file_that_goes_again(legacy_studio, probed):
    place = legacy_studio.paths.data / "extensions" / "probe"
    result = probed("pass", after=SAVED, request=replace(PLAIN, output=OutputParams(save=False)))
    assert list(place.glob("00000-3*")) == []
    result = drawn(legacy_studio)
    assert result.notes == ()
    (kept,) = legacy_studio.pictures.list(limit=1)
    (written,) = place.glob("00000-3*")
    assert written.name.endswith(".png.txt")
    assert written.read_text() == kept.infotext


def test_two_jobs_that_save_at_once_have_files_of_their_own(legacy_studio, tmp_path, monkeypatch):
    """Of one index and one seed, and with ids that clients chose."""
    both, seen = threading.Barrier(2, timeout=20), {}

    def look(params):
        both.wait()  # both files are there
        with Image.open(params.filename) as image:
            seen[image.info["parameters"]] = (image.getpixel((0, 0)), params.pnginfo["parameters"])
        both.wait()  # nobody has let go of theirs

    package = ModuleType("a1111_both")
    monkeypatch.setitem(sys.modules, package.__name__, package)
    registered(package.__name__)["image_saved"] = [look]
    script = called_script(package.__name__, "both")

    def save(job_id, colour):
        job = JobContext(Line(SimpleNamespace(job_id=job_id)), None, {}, settings={}, folder=tmp_path / "both")
        script.before_job(job, PLAIN)
        script.saved(job, Picture(0, Image.new("RGB", (8, 8), colour), 3, 0, "", "", colour, {}))

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(save, "task(1/../x)", "red"), pool.submit(save, "task(2/../x)", "blue")]:
            done.result()
    assert seen == {"red": ((255, 0, 0), "red"), "blue": ((0, 0, 255), "blue")}
    assert list((tmp_path / "both").iterdir()) == []


PASTED = """
def paste(infotext, fields):
    fields["Steps"] = str(int(fields["Steps"]) + len(infotext.split("Size")))
    fields["Probe"] = "was here"

script_callbacks.on_infotext_pasted(paste)
"""


def test_an_infotext_is_read_as_the_extension_wants_it(legacy_studio, probed):
    result = probed("pass", after=PASTED)
    text = result.pictures[0].infotext
    fields = parameters_of(text, legacy_studio.scripts)
    assert (fields["Steps"], fields["Probe"], fields["Seed"]) == ("4", "was here", "3")
    filled = fill_from_infotext({"infotext": text}, {"infotext"}, "txt2img", legacy_studio.scripts)
    assert (filled["steps"], filled["seed"]) == (4, 3)
    handlers = Handlers(legacy_studio, None, None)
    assert handlers._said(text)["Steps"] == "4"


MUTED = """
import torch

def mute(params):
    assert params.text_cond.shape == params.text_uncond.shape
    if params.sampling_step == 0:
        params.text_cond = params.text_uncond.clone()
    else:
        params.text_cond[:] = params.text_uncond

script_callbacks.on_cfg_denoiser(mute)
"""


def test_what_the_text_encoders_say_can_be_changed_at_each_step(legacy_studio, probed):
    empty = drawn(legacy_studio, request=replace(PLAIN, prompt=PromptParams("")))
    result = probed("pass", after=MUTED)
    assert result.notes == ()
    assert abs(pixels(result.pictures[0]) - pixels(empty.pictures[0])).max() <= 1


POST_SAMPLE = """
def post_sample(self, p, ps):
    p.extra_generation_params["Post"] = p.extra_generation_params.get("Post", 0) + 1
    ps.samples = ps.samples * 0
"""


def test_latents_can_be_changed_when_the_last_pass_is_drawn(legacy_studio, probed):
    plain = drawn(legacy_studio).pictures[0]
    (flat,) = probed(POST_SAMPLE).pictures
    assert pixels(flat).std() < pixels(plain).std() / 3
    assert "Post: 1" in flat.infotext
    hires = replace(PLAIN, hires=HiresParams(enabled=True, scale=2, steps=1, upscaler="Latent"))
    (large,) = probed(POST_SAMPLE, request=hires).pictures
    assert "Post: 1" in large.infotext
    assert pixels(large).shape == (128, 128, 3)
    assert pixels(large).std() < pixels(plain).std() / 3


NETWORKS = """
def after_extra_networks_activate(self, p, *args, **kwargs):
    (found,) = kwargs["extra_network_data"]["other"]
    p.extra_generation_params["Nets"] = " ".join([*found.items, *kwargs["prompts"][0].split()[:1]])
"""


def test_the_tags_of_a_batch_are_told(legacy_studio, probed):
    result = probed(NETWORKS, request=replace(PLAIN, prompt=PromptParams("a circle <other:ink:0.5>")))
    assert "Nets: ink 0.5 a" in result.pictures[0].infotext


GRID = """
def turn(params):
    params.imgs, params.cols, params.rows = params.imgs[::-1], params.rows, params.cols

script_callbacks.on_image_grid(turn)
"""
SHEET = """
def process(self, p):
    cells = [images.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    sheet = images.image_grid(cells, rows=1)
    p.extra_generation_params["Sheet"] = f"{sheet.width} {sheet.height} {sheet.getpixel((0, 0))[2]}"
"""


def test_a_sheet_can_be_laid_out_by_a_callback(legacy_studio, probed):
    assert "Sheet: 16 8 0" in probed(SHEET).pictures[0].infotext
    assert "Sheet: 8 16 255" in probed(SHEET, after=GRID).pictures[0].infotext
