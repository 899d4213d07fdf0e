"""Extensions that change a picture while it is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compat.conftest import pixels

# Their warnings are not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


def roughness(picture):
    """Mean difference between neighbouring pixels."""
    grey = pixels(picture).mean(axis=-1)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def test_vectorscope_cc_moves_colours_where_its_sliders_say(tried):
    studio = tried("sd-webui-vectorscope-cc")
    plain = studio.draw()[0]
    assert np.array_equal(pixels(studio.draw("Vectorscope CC", enable=True)[0]), pixels(plain))
    for slider, end in (("brightness", 5.0), ("r", 4.0)):
        less, more = (studio.draw("Vectorscope CC", enable=True, **{slider: amount})[0] for amount in (-end, end))
        means = [pixels(one)[..., 0].mean() for one in (less, plain, more)]
        # Which way is a matter of what the model's latents mean.
        assert means in (sorted(means), sorted(means, reverse=True))
        assert min(abs(means[0] - means[1]), abs(means[1] - means[2])) > 5
    assert "Vec CC R: 4" in more.infotext
    assert np.array_equal(pixels(studio.draw()[0]), pixels(plain))


def test_resharpen_sharpens(tried):
    studio = tried("sd-webui-resharpen")
    plain = studio.draw()[0]
    soft, even, sharp = (studio.draw("ReSharpen", resharpen=True, sharpness=amount)[0] for amount in (-1.0, 0.0, 1.0))
    assert np.array_equal(pixels(even), pixels(plain))
    assert roughness(sharp) > 2 * roughness(plain)
    assert not np.array_equal(pixels(soft), pixels(plain))
    assert "Resharpen Sharpness: 1" in sharp.infotext


def test_diffusion_cg_brings_colours_towards_each_other(tried):
    studio = tried("sd-webui-diffusion-cg")
    title = "Diffusion CG"
    enable = studio.script(title).parameters[0].name  # its label has the version in it
    found = [studio.draw(title, **{enable: True, "recenter_strength": amount})[0] for amount in (0.0, 0.5, 1.0)]
    spans = [np.ptp(pixels(one).mean(axis=(0, 1))) for one in found]
    assert spans[0] > spans[1] > spans[2]
    assert np.array_equal(pixels(found[0]), pixels(studio.draw()[0]))


def test_detail_daemon_adds_detail_with_its_amount(tried):
    studio = tried("sd-webui-detail-daemon")

    def drawn(**values):
        return studio.draw("Detail Daemon", detail_daemon=True, active=True, **values)[0]

    found = [roughness(drawn(amount=amount)) for amount in (0.0, 0.5, 1.0)]
    assert found[0] < found[1] < found[2]
    plain = studio.draw()[0]
    assert np.array_equal(pixels(drawn(amount=0.0)), pixels(plain))
    bound, free = (drawn(amount=0.5, mode=mode) for mode in ("cond", "uncond"))
    assert not np.array_equal(pixels(bound), pixels(free))
    assert "Detail Daemon" in bound.infotext
    assert np.array_equal(pixels(studio.draw()[0]), pixels(plain))


def test_cads_draws_a_seed_differently_each_time_by_the_noise_that_its_words_get(tried):
    studio = tried("sd-webui-cads")
    plain = studio.draw()[0]
    given = {"active": True, "rescale_cfg": False, "tau_1": 0.2, "tau_2": 0.6}
    apart = []
    for scale in (0.0, 1.0):
        found = [studio.draw("CADS", **given, noise_scale=scale)[0] for _ in range(2)]
        apart.append(np.abs(pixels(found[0]) - pixels(found[1])).mean())
        assert not np.array_equal(pixels(found[0]), pixels(plain))  # its words are faded in
    assert apart[0] == 0
    assert apart[1] > 1
    assert "CADS Noise Scale: 1" in found[0].infotext
    assert np.array_equal(pixels(studio.draw()[0]), pixels(plain))
