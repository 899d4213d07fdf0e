"""Sigma schedules: ends, order, known values."""

from __future__ import annotations

import numpy as np
import pytest

from modules.contracts.errors import InvalidRequest
from modules.sd_samplers.incomplete_beta import beta_distribution, beta_quantile
from modules.sd_samplers.schedules import AYS_SD, AYS_SDXL, SCHEDULES, NoiseTable, sigmas_for


def sd_table(anchors=AYS_SD):
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alphas = np.cumprod(1 - betas)
    return NoiseTable(np.sqrt((1 - alphas) / alphas), True, anchors)


SD = sd_table()
FLOW = NoiseTable(np.linspace(1 / 1000, 1, 1000), False)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 50, 333, 1000])
@pytest.mark.parametrize("table", [SD, FLOW], ids=["sd", "flow"])
def test_sigmas_fall_to_zero(name, steps, table):
    sigmas = sigmas_for(name, table, steps)
    assert sigmas.shape == (steps + 1,)
    assert sigmas[-1] == 0
    assert np.all(np.diff(sigmas) < 0)
    assert sigmas[0] <= table.largest * (1 + 1e-12)
    assert sigmas[-2] >= table.smallest * (1 - 1e-12)
    if name != "ddim":
        assert sigmas[0] == pytest.approx(table.largest, rel=1e-6)


@pytest.mark.parametrize(
    "name", ["karras", "exponential", "polyexponential", "kl_optimal", "uniform", "normal", "beta"]
)
def test_these_end_at_the_smallest_sigma(name):
    assert sigmas_for(name, SD, 20)[-2] == pytest.approx(SD.smallest, rel=1e-6)


def test_the_ends_of_stable_diffusion():
    assert SD.largest == pytest.approx(14.6146, abs=1e-4)
    assert SD.smallest == pytest.approx(0.0292, abs=1e-4)


def test_karras_known_values():
    # Equation 5 with rho 7 and i = 2 of 5, worked out by hand.
    high, low = 14.6146 ** (1 / 7), 0.0292 ** (1 / 7)
    assert sigmas_for("karras", SD, 5)[2] == pytest.approx(((high + low) / 2) ** 7, rel=1e-3)


def test_exponential_is_geometric():
    sigmas = sigmas_for("exponential", SD, 9)[:-1]
    assert sigmas[1:] / sigmas[:-1] == pytest.approx(sigmas[1] / sigmas[0])
    assert sigmas_for("polyexponential", SD, 9, rho=1.0) == pytest.approx(sigmas_for("exponential", SD, 9))


def test_align_your_steps_are_the_published_numbers():
    assert sigmas_for("align_your_steps", SD, 11)[:-1] == pytest.approx(AYS_SD, rel=1e-2)
    assert sigmas_for("align_your_steps", sd_table(AYS_SDXL), 11)[:-1] == pytest.approx(AYS_SDXL, rel=1e-2)
    # Twenty-one points: every second one is an anchor and between them stands the geometric mean.
    fine = sigmas_for("align_your_steps", SD, 21)[:-1]
    assert fine[1] == pytest.approx((14.615 * 6.475) ** 0.5, rel=1e-2)


def test_kl_optimal_is_even_in_the_angle():
    angles = np.arctan(sigmas_for("kl_optimal", SD, 10)[:-1])
    assert np.diff(angles) == pytest.approx(np.full(9, np.diff(angles)[0]))


def test_table_schedules_take_entries_of_the_table():
    assert sigmas_for("simple", SD, 4)[:-1] == pytest.approx(SD.sigmas[[999, 749, 499, 249]])
    assert sigmas_for("ddim", SD, 4)[:-1] == pytest.approx(SD.sigmas[[751, 501, 251, 1]])
    assert sigmas_for("sgm_uniform", FLOW, 4)[:-1] == pytest.approx([1, 0.75, 0.5, 0.25], abs=1e-3)


def test_beta_is_dense_at_both_ends():
    widths = -np.diff(sigmas_for("beta", SD, 20)[:-1])
    assert widths[0] < widths[9] > widths[-1]
    assert sigmas_for("beta", SD, 21)[10] == pytest.approx((SD.smallest + SD.largest) / 2)


@pytest.mark.parametrize(("a", "b"), [(0.6, 0.6), (2.0, 3.0), (0.5, 0.5), (1.0, 1.0)])
@pytest.mark.parametrize("share", [1e-6, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_beta_quantiles_are_inverse(a, b, share):
    assert beta_distribution(beta_quantile(share, a, b), a, b) == pytest.approx(share, rel=1e-7)


def test_beta_known_values():
    assert beta_quantile(0.25, 0.5, 0.5) == pytest.approx(np.sin(np.pi * 0.25 / 2) ** 2)  # the arcsine law
    assert beta_distribution(0.3, 2, 1) == pytest.approx(0.09)


def test_the_sigma_before_the_last_can_be_left_out():
    full, short = sigmas_for("karras", SD, 11), sigmas_for("karras", SD, 10, discard_penultimate=True)
    assert short == pytest.approx(np.delete(full, -2))
    assert len(sigmas_for("karras", SD, 1, discard_penultimate=True)) == 2


def test_times_and_sigmas_are_inverse():
    times = np.array([0, 0.5, 250.25, 999])
    for table in (SD, FLOW):
        assert table.time_at(table.sigma_at(times)) == pytest.approx(times)


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_more_steps_than_the_table_has_are_refused(steps):
    with pytest.raises(InvalidRequest, match="allowed is 1 to 1000"):
        sigmas_for("karras", SD, steps)
