"""The page for text to image: where everything stands, and which handler each control calls."""

from __future__ import annotations

import sys
import zlib
from typing import Any

import gradio as gr

from modules.support.studio import Studio
from modules.ui import elements
from modules.ui.control import ControlPanel
from modules.ui.desk import Desk
from modules.ui.editing import RANGES, EditPanel
from modules.ui.enlarging import enlarging_inputs
from modules.ui.experiments import ExperimentPanel
from modules.ui.facts import Choices, ModelFacts, detector_choices, facts_of, restorer_choices, style_choices
from modules.ui.form import ELEM_IDS, NAMES, declarations, defaults
from modules.ui.handlers import Handlers
from modules.ui.inputs import Inputs
from modules.ui.rooms import CREATE, EDIT, build_rooms, build_tabs, opening
from modules.ui.scripts import ExtensionPlace, ScriptPanel
from modules.ui.style import StylePanel
from modules.ui.table import read_table
from modules.ui.uploads import Uploads

TITLE = "Atelier"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
"""Every event: no overlay over our own progress, no public endpoint, no second queue before the studio's own."""
DRAFT = f"atelier-form-{zlib.crc32(','.join(NAMES).encode()):x}"
"""Where a browser keeps what was last in the form; another set of inputs is another draft."""
KEEP = f"""(...values) => {{
  localStorage.setItem("{DRAFT}", JSON.stringify([window.gradio_config.username ?? null, ...values]));
  return [];
}}"""
RESTORE = f"""(...values) => {{
  const [person, ...kept] = JSON.parse(localStorage.getItem("{DRAFT}") ?? "[]");
  return person === (window.gradio_config.username ?? null) && kept.length === values.length ? kept : values;
}}"""


class _Controls:
    """Components that are not parameters of the request."""

    generate: Any
    interrupt: Any
    skip: Any
    refresh: Any
    aspect: Any
    swap: Any
    guidance: Any
    second: Any
    enlarging: tuple[Any, ...]
    dice: Any
    reuse: Any
    examples: Any
    left: Any
    tokens: Any
    stage: Any
    gallery: Any
    status: Any


def build_page(studio: Studio, uploads: Uploads | None = None) -> gr.Blocks:
    """The page over those services. Needs no engine: while the studio is still loading, the page says so.

    Pictures and scripts are served by the routes that `modules.ui.mount` adds,
    which also fill `uploads`.
    """
    table = read_table(studio.paths.configs)
    facts = facts_of(studio.catalog, None)
    absent = frozenset(name for name, word in Handlers.ABILITIES.items() if not facts.can(word))
    inputs = Inputs(declarations(), studio.catalog, defaults(facts), absent)
    parts, panel, style, scripts = _Controls(), ControlPanel(studio), StylePanel(studio), ScriptPanel(studio)
    grids, larger = ExperimentPanel(studio), ScriptPanel(studio, ("enlarge",))
    edit = EditPanel(studio, uploads or Uploads())
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        _header(inputs, parts, studio)
        with gr.Tabs(elem_id="tabs", selected=CREATE):
            with (
                gr.Tab("Create", id=CREATE, elem_id="tab_txt2img", render_children=True) as create,
                gr.Row(elem_id="atelier_room", equal_height=False),
            ):
                with gr.Column(elem_id="atelier_words", min_width=0):
                    _words(inputs, parts, table.prompts_for(facts.name), style_choices(studio.prompts))
                with gr.Column(elem_id="atelier_view", min_width=0):
                    ranges = {ELEM_IDS[name]: [float(low), float(high)] for name, (low, high) in table.sliders.items()}
                    parts.stage = elements.stage({}, {**ranges, **RANGES})
                    parts.gallery = elements.gallery({"pictures": []})
                with gr.Column(elem_id="atelier_settings", min_width=0):
                    _settings(inputs, parts, table.aspects, facts)
                    _tiles(inputs)
                    _detailer(inputs, detector_choices(studio.detectors))
                    _faces(inputs, restorer_choices(studio.catalog))
                    panel.build(facts)
                    style.build()
                    scripts.build()
                    _enlarging(parts, studio, larger)
                    grids.build()
                    ExtensionPlace(studio).build(page, QUIET)
            build_rooms(studio, QUIET, {EDIT: edit.build})
            build_tabs(studio, QUIET)
        create.select(None, None, None, js=opening(CREATE), **QUIET)
        handlers = Handlers(studio, Desk(studio), table, panel, style, scripts, larger, edit)
        _connect(page, inputs, parts, handlers)
        scripts.connect(QUIET)
        larger.connect(QUIET)
        grids.connect(page, [*(inputs.made[name] for name in NAMES), *handlers.fields], handlers.compose, QUIET)
        style.connect(page, parts.stage, QUIET)
        edit.connect(page, inputs.made["model.checkpoint"], parts.stage, QUIET)
    page.queue(default_concurrency_limit=None, api_open=False)
    _count_nothing(page)
    return page


def _count_nothing(page: gr.Blocks) -> None:
    """Gradio 6 keeps a table of all events and works it through with pandas after each one; nobody reads it here."""
    queue: Any = page._queue
    queue.ANALYTICS_MAX_EVENTS = 1
    queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize


def _header(inputs: Inputs, parts: _Controls, studio: Studio) -> None:
    with gr.Row(elem_id="atelier_header", equal_height=True):
        elements.brand()
        with gr.Row(elem_id="atelier_model", equal_height=True):
            inputs("model.checkpoint", show_label=False, container=False)
            parts.refresh = gr.Button("Refresh models", elem_id="refresh_sd_model_checkpoint", elem_classes="icon")
        parts.status = gr.HTML(
            elements.status_line(studio.status), elem_id="atelier_status", js_on_load=None, apply_default_css=False
        )
        elements.language()
        elements.appearance()


def _words(inputs: Inputs, parts: _Controls, prompts: tuple[str, ...], styles: Choices) -> None:
    inputs("prompt.text", lines=3, max_lines=10)
    parts.tokens = gr.HTML("", elem_id="txt2img_token_counter", js_on_load=None, apply_default_css=False)
    parts.examples = elements.examples(prompts)
    inputs("prompt.negative", lines=1, max_lines=6)
    inputs("prompt.styles", styles)
    with gr.Row(elem_id="atelier_go", equal_height=True):
        parts.generate = gr.Button("Generate", variant="primary", elem_id="txt2img_generate")
        parts.skip = gr.Button("Skip", elem_id="txt2img_skip")
        parts.interrupt = gr.Button("Stop", variant="stop", elem_id="txt2img_interrupt")
    parts.left = gr.HTML("", elem_id="atelier_left", js_on_load=None, apply_default_css=False)


def _settings(inputs: Inputs, parts: _Controls, aspects: tuple[str, ...], facts: ModelFacts) -> None:
    parts.aspect = gr.Radio(list(aspects), label="Aspect", value=aspects[0], elem_id="txt2img_aspect", min_width=0)
    with gr.Row(elem_classes="size"):
        inputs("canvas.width")
        parts.swap = gr.Button("Swap width and height", elem_id="txt2img_res_switch_btn", elem_classes="icon")
        inputs("canvas.height")
    with gr.Row():
        inputs("sampling.steps", elem_classes="slid")
        inputs("sampling.cfg_scale", elem_classes="slid")
        inputs("refiner.decoder_steps", elem_classes="slid")
    with gr.Row():
        inputs("sampling.sampler")
        inputs("sampling.scheduler")
    with gr.Row(elem_classes="seed"):
        inputs("seeds.seed")
        parts.dice = gr.Button("Random seed", elem_id="txt2img_random_seed", elem_classes="icon")
        parts.reuse = gr.Button("Seed of the picture shown", elem_id="txt2img_reuse_seed", elem_classes="icon")
    with gr.Row():
        inputs("canvas.batch_count", elem_classes="slid")
        inputs("canvas.batch_size", elem_classes="slid")
    with gr.Accordion(
        "Variation, clip skip, tiling, second sampler, refiner, text encoder",
        open=False,
        elem_id="txt2img_more",
        elem_classes="section",
    ):
        with gr.Row():
            inputs("seeds.subseed")
            inputs("seeds.subseed_strength", elem_classes="slid")
        with gr.Row():
            inputs("prompt.clip_skip", elem_classes="slid")
            for name in ("prompt.emphasis", "canvas.tiling", "model.text_encoder"):
                inputs(name)
        with gr.Row():
            inputs("prompt.areas")
        with gr.Row():
            inputs("handover.sampler")
            inputs("handover.steps", elem_classes="slid")
            inputs("handover.at", elem_classes="slid")
        with gr.Row():
            inputs("refiner.checkpoint")
            inputs("refiner.switch_at", elem_classes="slid")
    with gr.Row(elem_classes="film"):
        for name in ("film.frames", "film.fps", "film.format"):
            inputs(name)
    _guidance(inputs, parts, facts)
    _tone(inputs)
    _caches(inputs)
    larger = facts.can("hires")
    parts.second = gr.Accordion(
        "Second pass at a larger size", open=False, visible=larger, elem_id="txt2img_hr", elem_classes="section"
    )
    with parts.second:
        inputs("hires.enabled")
        with gr.Row():
            inputs("hires.upscaler")
            inputs("hires.scale", elem_classes="slid")
        with gr.Row():
            inputs("hires.steps", elem_classes="slid")
            inputs("hires.denoising_strength", elem_classes="slid")


def _tiles(inputs: Inputs) -> None:
    with gr.Accordion("Tiles for large pictures", open=False, elem_id="txt2img_tiles", elem_classes="section"):
        with gr.Row():
            inputs("tiles.method")
            inputs("tiles.passes")
        with gr.Row():
            inputs("tiles.width")
            inputs("tiles.height")
            inputs("tiles.overlap")
        inputs("tiles.vae")


def _detailer(inputs: Inputs, detectors: Choices) -> None:
    with gr.Accordion("Detailer", open=False, elem_id="txt2img_detailer", elem_classes="section"):
        with gr.Row():
            inputs("regions.detector", detectors)
            inputs("regions.classes")
        with gr.Row():
            inputs("regions.confidence", elem_classes="slid")
            inputs("regions.most", elem_classes="slid")
        inputs("detailer.prompt")
        inputs("detailer.negative")
        with gr.Row():
            inputs("detailer.strength", elem_classes="slid")
            inputs("detailer.padding", elem_classes="slid")
        inputs("detailer.steps")


def _faces(inputs: Inputs, restorers: Choices) -> None:
    with gr.Accordion("Faces", open=False, elem_id="txt2img_faces", elem_classes="section"):
        inputs("faces.restore")
        with gr.Row():
            inputs("faces.restorer", restorers)
            inputs("faces.share", elem_classes="slid")


def _enlarging(parts: _Controls, studio: Studio, larger: ScriptPanel) -> None:
    with gr.Accordion("Enlarging a finished picture", open=False, elem_id="extras_tab", elem_classes="section"):
        with gr.Row():
            parts.enlarging = enlarging_inputs(studio.catalog)
        larger.build()


def _tone(inputs: Inputs) -> None:
    with gr.Accordion("Brightness and colour", open=False, elem_id="txt2img_tone", elem_classes="section"):
        with gr.Row():
            inputs("tone.brightness", elem_classes="slid")
            inputs("tone.mode")
        with gr.Row():
            inputs("tone.color", elem_classes="slid")
            inputs("tone.sharpen", elem_classes="slid")
        with gr.Row():
            inputs("tone.tint")
            inputs("tone.tint_ratio", elem_classes="slid")
        with gr.Row():
            inputs("reach.clamp")
            inputs("reach.maximize")


def _caches(inputs: Inputs) -> None:
    with gr.Accordion("Quicker steps", open=False, elem_id="txt2img_caches", elem_classes="section"):
        with gr.Row():
            inputs("cache.method")
            inputs("cache.interval")
        with gr.Row():
            inputs("cache.threshold")
            inputs("cache.depth")
            inputs("cache.order")


def _guidance(inputs: Inputs, parts: _Controls, facts: ModelFacts) -> None:
    guided = facts.can("negative_prompt")
    parts.guidance = gr.Accordion(
        "Guidance", open=False, visible=guided, elem_id="txt2img_guidance", elem_classes="section"
    )
    with parts.guidance:
        with gr.Row():
            inputs("guidance.start", elem_classes="slid")
            inputs("guidance.end", elem_classes="slid")
            inputs("guidance.schedule")
        with gr.Row():
            inputs("guidance.mimic_scale", elem_classes="slid")
            inputs("guidance.perp_neg", elem_classes="slid")
            inputs("guidance.apg")
        with gr.Row():
            inputs("sampling.s_min_uncond")
            inputs("sampling.s_min_uncond_all")
        with gr.Row():
            inputs("attention.pag_scale", elem_classes="slid")
            inputs("attention.seg_scale", elem_classes="slid")
            inputs("attention.slg_scale", elem_classes="slid")
        with gr.Row():
            inputs("features.freeu_b1", elem_classes="slid")
            inputs("features.freeu_b2", elem_classes="slid")
        with gr.Row():
            inputs("features.freeu_s1", elem_classes="slid")
            inputs("features.freeu_s2", elem_classes="slid")
        with gr.Row():
            inputs("features.token_merging", elem_classes="slid")
            inputs("features.hypertile", elem_classes="slid")
        with gr.Row():
            inputs("features.shrink")
            inputs("features.shrink_end")


def _connect(page: gr.Blocks, inputs: Inputs, parts: _Controls, handlers: Handlers) -> None:
    made, panel = inputs.made, handlers.control
    form = [made[name] for name in NAMES]
    show = [parts.stage, parts.gallery]
    raw = {**QUIET, "preprocess": False}
    fields = [*form, *handlers.fields]
    sends = f"(...values) => window.atelierEdit.fill(values.slice(0, {len(fields)}), {fields.index(handlers.sent)})"
    asked = parts.generate.click(handlers.generate, fields, show, trigger_mode="multiple", js=sends, **raw)
    if panel is not None:
        panel.connect(page, made["model.checkpoint"], parts.stage, QUIET)
    asked.then(handlers.left, None, parts.left, **QUIET)
    parts.interrupt.click(handlers.interrupt, **QUIET)
    parts.skip.click(handlers.skip, **QUIET)
    parts.stage.recall(handlers.recall, form, form, **raw)
    parts.stage.enlarge(handlers.enlarge, [*parts.enlarging, *handlers.extras], show, trigger_mode="multiple", **raw)
    parts.stage.attach(handlers.open, None, show, **QUIET)
    parts.stage.ping(handlers.ping, **QUIET)
    fitting = [
        *(made[name] for name in handlers.FITTED),
        parts.guidance,
        *(made[name] for name in handlers.ABILITIES),
    ]
    made["model.checkpoint"].input(
        handlers.fit,
        made["model.checkpoint"],
        [*fitting, parts.second, made["hires.enabled"], parts.aspect, parts.examples],
        **raw,
    )
    models = [made["model.checkpoint"], made["refiner.checkpoint"]]
    parts.refresh.click(handlers.refresh, models, models, **raw)
    parts.aspect.input(
        handlers.resize, [parts.aspect, made["model.checkpoint"]], [made["canvas.width"], made["canvas.height"]], **raw
    )
    counted = [made[name] for name in ("prompt.text", "model.checkpoint", "sampling.steps")]
    gr.on(
        [page.load, *(item.change for item in counted)],
        handlers.count,
        counted,
        parts.tokens,
        trigger_mode="always_last",
        **raw,
    )
    page.load(handlers.styles, None, made["prompt.styles"], **QUIET)
    _connect_in_browser(made, parts)
    page.load(None, form, form, js=RESTORE, **QUIET)
    page.load(handlers.open, None, show, **QUIET)
    page.load(handlers.starting, None, parts.status, **QUIET)
    page.load(handlers.left, None, parts.left, **QUIET)
    page.load(handlers.offer_refresh, None, parts.refresh, **QUIET)


def _connect_in_browser(made: dict[str, Any], parts: _Controls) -> None:
    """What needs no server: answers at once, also over a slow line."""
    size = [made["canvas.width"], made["canvas.height"]]
    seed = made["seeds.seed"]
    parts.swap.click(None, size, size, js="(width, height) => [height, width]", **QUIET)
    parts.dice.click(None, None, seed, js="() => -1", **QUIET)
    parts.reuse.click(None, seed, seed, js="(seed) => window.atelier.seed(seed)", **QUIET)
    for side in size:
        side.change(None, size, parts.aspect, js="(w, h) => window.atelier.aspect(w, h)", **QUIET)
    form = [made[name] for name in NAMES]
    gr.on([parts.generate.click, *(item.input for item in form)], None, form, None, js=KEEP, **QUIET)
    for name, component in made.items():
        if "slid" in (component.elem_classes or ()):
            follow = f"(value) => {{ window.atelier.slide('{ELEM_IDS[name]}', value); return []; }}"
            component.change(None, component, None, js=follow, **QUIET)
