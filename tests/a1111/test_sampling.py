"""What A1111's extensions change while a picture is drawn, and that it stays with the job that they change it for."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from modules.a1111.desk import Gate
from modules.contracts.errors import JobCancelled
from modules.contracts.request import SeedParams
from modules.contracts.scripts import ScriptParams
from tests.a1111.test_moments import probed as probed
from tests.a1111.test_scripts import PLAIN, drawn, pixels, use

LATE = """
def ui(self, is_img2img):
    import gradio as gr
    return [gr.components.Slider(0, 2, value=1.0, step=0.1, label="Level")]
def process(self, p, level):
    self.seen = getattr(self, "seen", 0) + 1
    p.extra_generation_params["Seen"] = self.seen
    if level != 1:
        self.level = level
        script_callbacks.on_cfg_denoiser(self.lower)
def lower(self, params):
    assert params.x.shape[0] == 2 and params.sigma.shape == (2,)
    assert params.denoiser.steps == params.total_sampling_steps == 2
    params.sigma *= self.level
def postprocess(self, p, processed, level):
    script_callbacks.remove_callbacks_for_function(self.lower)
"""
SAMPLER = """
from modules.sd_samplers_kdiffusion import KDiffusionSampler

before = KDiffusionSampler.callback_state
GONE = []


def darker(self, d):
    assert self.p.steps == 2 and not self.p.is_hr_pass and set(d) == {"x", "i", "sigma", "sigma_hat", "denoised"}
    d["denoised"] *= 0
    return before(self, d)


KDiffusionSampler.callback_state = darker
script_callbacks.on_script_unloaded(lambda: GONE.append(1))
script_callbacks.on_cfg_after_cfg(lambda params: SEEN.append(params.x.clone()))
SEEN = []
"""


@pytest.fixture(scope="module")
def plain(legacy_studio):
    return drawn(legacy_studio).pictures[0]


def probe(name="scripts.probe"):
    return next(one for key, one in sys.modules.items() if key.startswith("_extension_probe") and key.endswith(name))


def test_a_callback_of_a_job_tells_the_denoiser_another_level_in_that_job_only(legacy_studio, probed, plain):
    first = probed(LATE)
    assert first.notes == ()
    assert np.array_equal(pixels(first.pictures[0]), pixels(plain))
    found = [drawn(legacy_studio, ScriptParams((use("Probe", level=level),))) for level in (0.7, 1.0, 0.7)]
    assert all(one.notes == () and "Seen: 1" in one.pictures[0].infotext for one in found)
    assert not np.array_equal(pixels(found[0].pictures[0]), pixels(plain))
    assert np.array_equal(pixels(found[1].pictures[0]), pixels(plain))
    assert np.array_equal(pixels(found[2].pictures[0]), pixels(found[0].pictures[0]))


def test_what_an_extension_puts_into_the_samplers_callback_is_stepped_to(legacy_studio, probed, plain):
    """All steps lead to latents of 0, which all pictures share, and what guidance made of the answers came before."""
    result = probed("pass", after=SAMPLER)
    assert result.notes == ()
    module = probe()
    assert [(tuple(one.shape), float(one.abs().max()) > 0) for one in module.SEEN] == [((1, 4, 8, 8), True)] * 2
    other = drawn(legacy_studio, request=replace(PLAIN, seeds=SeedParams(77)))
    assert np.array_equal(pixels(result.pictures[0]), pixels(other.pictures[0]))
    assert not np.array_equal(pixels(result.pictures[0]), pixels(plain))
    legacy_studio.scripts.switch("probe", "disable")
    assert module.GONE == [1]
    assert np.array_equal(pixels(drawn(legacy_studio).pictures[0]), pixels(plain))
    legacy_studio.scripts.switch("probe", "enable")


def test_jobs_that_want_something_special_of_a_script_go_through_its_gate_alone():
    gate, inside, cancelled = Gate(), threading.Event(), threading.Event()

    def check():
        if cancelled.is_set():
            raise JobCancelled("enough")

    first, second, alone = (SimpleNamespace(check=check, job_id=name) for name in ("first", "second", "alone"))
    gate.enter(first, special=False)
    gate.enter(second, special=False)

    def special():
        gate.enter(alone, special=True)
        inside.set()

    waiting = threading.Thread(target=special)
    waiting.start()
    gate.leave(first, special=False)
    assert not inside.wait(0.1)
    gate.leave(second, special=False)
    assert inside.wait(5)
    waiting.join()
    cancelled.set()
    with pytest.raises(JobCancelled):
        gate.enter(first, special=False)
    cancelled.clear()
    gate.leave(alone, special=True)
    gate.enter(first, special=False)


def test_a_job_that_has_to_be_alone_gets_in_while_the_others_overlap():
    """Two lanes of usual jobs, the next of which begins before the last has ended."""
    gate, inside, stop = Gate(), threading.Event(), threading.Event()
    turns = threading.Semaphore(0)

    def job(name):
        return SimpleNamespace(check=lambda: None, job_id=name)

    def lane(own, other):
        number = 0
        while not stop.is_set():
            mine = job(f"{id(own)}-{number}")
            gate.enter(mine, special=False)
            gate.enter(mine, special=False)  # one that is inside does not wait for those in front
            gate.leave(mine, special=False)
            own.set()
            turns.release()
            other.wait(0.3)  # the other lane's next job comes in first, if it may
            other.clear()
            gate.leave(mine, special=False)
            number += 1

    def special():
        gate.enter(job("alone"), special=True)
        inside.set()
        gate.leave(job("alone"), special=True)

    one, two = threading.Event(), threading.Event()
    lanes = [threading.Thread(target=lane, args=pair, daemon=True) for pair in ((one, two), (two, one))]
    for each in lanes:
        each.start()
        assert turns.acquire(timeout=5)
    threading.Thread(target=special, daemon=True).start()
    got_in = inside.wait(5)
    for _ in range(6):
        assert turns.acquire(timeout=5)
    stop.set()
    for each in lanes:
        each.join(5)
        assert not each.is_alive()
    assert got_in


def test_one_that_gives_up_in_front_of_a_gate_holds_nobody_up():
    def enough():
        raise JobCancelled("enough")

    gate = Gate()
    plain = [SimpleNamespace(check=enough, job_id=name) for name in "abc"]
    gate.enter(plain[0], special=False)
    with pytest.raises(JobCancelled):
        gate.enter(plain[1], special=True)
    gate.enter(plain[2], special=False)


def test_a_script_that_is_left_out_lets_the_next_job_through(legacy_studio, probed, plain):
    probed("def ui(self, is_img2img):\n    import gradio as gr\n    return [gr.Checkbox(label='Wide')]\n"
           "def process(self, p, wide):\n    p.width = 99999 if wide else p.width")  # fmt: skip
    assert "Width" in drawn(legacy_studio, ScriptParams((use("Probe", wide=True),))).notes[0]
    assert np.array_equal(pixels(drawn(legacy_studio).pictures[0]), pixels(plain))


def test_a_script_that_owns_the_run_hands_out_what_it_saves(legacy_studio, probed):
    source = """

class Saver(scripts.Script):
    def title(self):
        return "Saver"

    def run(self, p):
        processed = processing.process_images(p)
        half = processed.images[0].resize((32, 32))
        images.save_image(half, p.outpath_samples, "", p.seed, p.prompt, "png", info="half: 1", p=p)
        images.save_image(processed.images[0], p.outpath_samples, "", info=processed.info, p=p)
        return processed
"""
    assert (
        "hands out no pictures"
        in probed("def process(self, p):\n    images.save_image(None, '')", after=source).notes[0]
    )
    pictures = drawn(legacy_studio, ScriptParams(run=use("Saver"))).pictures
    assert [one.image.size for one in pictures] == [(64, 64), (32, 32)]
    assert pictures[1].infotext == "half: 1"
