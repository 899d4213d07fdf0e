"""A studio with extensions that are written as those for A1111's web UI are."""

from __future__ import annotations

import pytest

from modules.app import build_studio
from modules.bootstrap.options import Options, PathOptions, RunOptions

PAIR = """
import gradio as gr
import modules.scripts as scripts
from modules import images, shared
from modules.processing import Processed, StableDiffusionProcessing, fix_seed, process_images
from modules.shared import opts, state


class Script(scripts.Script):
    def title(self):
        return "Pair of seeds"

    def ui(self, is_img2img):
        with gr.Row().style(equal_height=True):
            gap = gr.Slider(minimum=1, maximum=9, step=1, value=1, label="Gap", tooltip="x")
        how = gr.Dropdown(label="Order", choices=["Up", "Down"], value="Up", type="index")
        kept = gr.State({"kept": 1})
        how.change(fn=lambda value: gr.Slider.update(visible=value), inputs=[how], outputs=[gap], _js="noop")
        return [gap, how, kept]

    def run(self, p: StableDiffusionProcessing, gap, how, kept):
        assert kept == {"kept": 1}
        assert opts.samples_format == "png"
        fix_seed(p)
        state.job_count = 2
        first, found = p.seed, []
        for number in range(2):
            p.seed = first + number * gap * (-1 if how == 1 else 1)
            p.extra_generation_params["Pair"] = p.seed
            processed = process_images(p)
            found.append((processed.images[0], processed.infotext(p, 0), processed.seed))
        grid = images.image_grid([one for one, _, _ in found], rows=1)
        texts = [text for _, text, _ in found]
        return Processed(p, [grid, *(one for one, _, _ in found)], first, texts[0], infotexts=[texts[0], *texts])
"""
TINT = """
import gradio as gr
from adder import ADDED
from modules import scripts
from modules.processing import StableDiffusionProcessingImg2Img, process_images
from modules.ui_components import InputAccordion


class Tint(scripts.Script):
    def title(self):
        return "Tint"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        with InputAccordion(False, label="On") as on:
            colour = gr.Radio(["Red", "Blue"], value="Red", label="Colour")
            again = gr.Checkbox(False, label="Again")
        return [on, colour, again]

    def process(self, p, on, colour, again):
        if on:
            p.all_prompts = [prompt + ADDED for prompt in p.all_prompts]
            p.extra_generation_params["Tint order"] = "process"

    def postprocess_image(self, p, pp, on, colour, again):
        if again:
            inner = StableDiffusionProcessingImg2Img(
                init_images=[pp.image], prompt="a blue square", seed=p.seed, steps=2, denoising_strength=0.5,
                width=64, height=64, sampler_name="Euler", batch_size=1, n_iter=1,
            )
            pp.image = process_images(inner).images[0]
        if on:
            from PIL import Image
            plain = Image.new("RGB", pp.image.size, colour.lower())
            pp.image = Image.blend(pp.image, plain, 0.5)

    def postprocess_batch(self, p, *args, **kwargs):
        if args[0]:
            kwargs["images"][:, 1] = 0
"""
QUIET = """
import modules.script_callbacks as script_callbacks
from modules.script_callbacks import CFGDenoiserParams

SEEN = []


def silence(params: CFGDenoiserParams):
    SEEN.append((params.sampling_step, params.total_sampling_steps))


def flatten(params):
    params.x = params.x * 0


script_callbacks.on_cfg_denoiser(silence)
script_callbacks.on_cfg_after_cfg(flatten)
"""


def put(folder, path, source):
    file = folder / "extensions" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, "utf-8")


@pytest.fixture(scope="session")
def legacy_studio(tmp_path_factory):
    """A studio with one script to choose, one that is always on, and an extension with callbacks that is off."""
    folder = tmp_path_factory.mktemp("legacy")
    put(folder, "pair/scripts/pair.py", PAIR)
    put(folder, "tint/scripts/tint.py", TINT)
    put(folder, "tint/adder.py", 'ADDED = ", a yellow star"\n')
    put(folder, "quiet/scripts/quiet.py", QUIET)
    paths = PathOptions(data_dir=folder / "data", extensions_dir=folder / "extensions")
    made = build_studio(Options(paths=paths, run=RunOptions(lanes=1, offline=True)))
    assert made.status.wait(120)
    made.scripts.switch("quiet", "disable")
    yield made
    made.close()
