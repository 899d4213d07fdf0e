"""The cost model grows where it should, and plans go from fast to thrifty."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.contracts.plan import MemoryPlan
from modules.memory.cost import (
    MODEL,
    SEQUENTIAL,
    STEERED_LIVE,
    Beside,
    ModelBytes,
    ModelFacts,
    facts_of,
    group_of,
    predict,
)
from modules.memory.planner import (
    ACCELERATOR_LADDER,
    CPU_LADDER,
    join_plans,
    next_plan,
    plan_memory,
    rests_in_main_memory,
)

MIB = 1 << 20
SD15 = ModelBytes(denoiser=1640 * MIB, text_encoder=235 * MIB, vae=160 * MIB)
CPU = ModelFacts(accelerator=False)


def test_plenty_of_memory_needs_no_measures():
    plan = plan_memory(SD15, 512, 512, 1, 80 * 1024 * MIB)
    assert plan.measures == ()
    assert plan.max_batch == 16
    assert plan.predicted_peak >= SD15.total


def test_the_largest_batch_follows_what_is_free():
    batches = [plan_memory(SD15, 512, 512, 1, free * MIB).max_batch for free in (2600, 3000, 3400, 9000)]
    assert batches == sorted(batches)
    assert batches[0] < batches[-1] == 16


def test_less_and_less_memory_takes_more_and_more_measures():
    rungs = []
    for free in (40_000, 12_000, 8000, 6000, 4000, 2500, 2100, 1900, 1000, 100):
        measures = plan_memory(SD15, 1024, 1024, 4, free * MIB).measures
        rungs.append(
            max(
                step
                for step, rung in enumerate(ACCELERATOR_LADDER)
                if set(measures) >= set(rung) - {"attention_slicing"}
            )
        )
    assert rungs == sorted(rungs)
    assert rungs[0] == 0
    assert rungs[-1] == len(ACCELERATOR_LADDER) - 1


def test_what_stands_beside_a_model_counts_under_every_plan():
    steered = replace(SD15, beside=Beside(700 * MIB, live=STEERED_LIVE))
    heavier = replace(SD15, beside=Beside(700 * MIB))
    for rung in ACCELERATOR_LADDER:
        plain, heavy, whole = (predict(one, rung, (512, 512), 1, 2, ModelFacts()) for one in (SD15, heavier, steered))
        assert heavy == plain + 700 * MIB
        assert whole >= heavy
    handed = 2 * 64 * 64 * 320 * 2 * STEERED_LIVE
    assert predict(steered, (), (512, 512), 1, 2, ModelFacts(vae_width=0)) == handed + predict(
        heavier, (), (512, 512), 1, 2, ModelFacts(vae_width=0)
    )
    tight = 3000 * MIB
    assert plan_memory(SD15, 512, 512, 1, tight).measures == ()
    assert plan_memory(steered, 512, 512, 1, tight).measures != ()


def test_medvram_and_lowvram_are_the_least_that_is_done():
    assert MODEL in plan_memory(SD15, 512, 512, 1, 80 * 1024 * MIB, "medvram").measures
    assert SEQUENTIAL in plan_memory(SD15, 512, 512, 1, 80 * 1024 * MIB, "lowvram").measures
    assert MODEL in plan_memory(SD15, 512, 512, 1, None, "medvram").measures


def test_a_cpu_never_offloads():
    for vram in ("normal", "medvram", "lowvram"):
        plan = plan_memory(SD15, 2048, 2048, 8, 1 * MIB, vram, CPU)
        assert not {MODEL, SEQUENTIAL, "text_encoder_cpu"} & set(plan.measures)
    plan = plan_memory(SD15, 512, 512, 1, 64 * 1024 * MIB, "lowvram", CPU)
    assert plan.measures == ()


def test_unknown_memory_means_no_measures_and_the_largest_batch():
    plan = plan_memory(SD15, 4096, 4096, 8, None)
    assert (plan.measures, plan.max_batch) == ((), 16)


def test_attention_is_sliced_only_where_it_saves_memory():
    tight = plan_memory(SD15, 1024, 1024, 1, 1000 * MIB)
    assert "attention_slicing" not in tight.measures
    plan = plan_memory(SD15, 768, 768, 1, 2300 * MIB, facts=ModelFacts(quadratic=True))
    assert "attention_slicing" in plan.measures


def test_the_plan_that_fits_nowhere_is_the_thriftiest_and_says_what_it_needs():
    plan = plan_memory(SD15, 4096, 4096, 1, 1 * MIB)
    assert SEQUENTIAL in plan.measures
    assert plan.predicted_peak > 1 * MIB
    assert plan.max_batch == 2


@given(side=st.integers(64, 2048), pictures=st.integers(1, 8), rows=st.integers(1, 16), quadratic=st.booleans())
def test_each_rung_is_predicted_to_need_no_more_than_the_one_before(side, pictures, rows, quadratic):
    for facts, ladder in ((ModelFacts(quadratic=quadratic), ACCELERATOR_LADDER), (CPU, CPU_LADDER)):
        peaks = [predict(SD15, measures, (side, side), pictures, rows, facts) for measures in ladder]
        assert peaks == sorted(peaks, reverse=True)


@given(side=st.integers(64, 1024), rows=st.integers(1, 15), pictures=st.integers(1, 7))
def test_more_pixels_rows_or_pictures_never_need_less(side, rows, pictures):
    base = predict(SD15, (), (side, side), pictures, rows, ModelFacts())
    assert predict(SD15, (), (side + 8, side), pictures, rows, ModelFacts()) >= base
    assert predict(SD15, (), (side, side), pictures + 1, rows, ModelFacts()) >= base
    assert predict(SD15, (), (side, side), pictures, rows + 1, ModelFacts()) >= base


@pytest.mark.parametrize("accelerator", [True, False])
@given(names=st.sets(st.sampled_from([name for rung in ACCELERATOR_LADDER for name in rung])), batch=st.integers(1, 16))
def test_cheaper_plans_end_and_never_repeat(accelerator, names, batch):
    plan = MemoryPlan(tuple(sorted(names)), 5, batch)
    seen = []
    while plan is not None:
        state = (frozenset(plan.measures), plan.max_batch)
        assert state not in seen
        seen.append(state)
        plan = next_plan(plan, accelerator=accelerator)
        assert len(seen) < 20
    assert seen[-1][1] == 1


def test_the_next_plan_after_none_slices_and_halves_the_batch():
    plan = next_plan(MemoryPlan((), 123, 16))
    assert plan == MemoryPlan(("vae_slicing",), None, 8)


def test_offloading_whole_parts_replaces_the_text_encoder_on_the_cpu():
    plan = next_plan(MemoryPlan(("text_encoder_cpu", "vae_slicing", "vae_tiling"), 1, 4))
    assert plan.measures == ("model_offload", "vae_slicing", "vae_tiling")


@pytest.mark.parametrize(
    ("size", "free", "vram", "accelerator", "expected"),
    [
        (4000, 8000, "normal", True, False),
        (7900, 8000, "normal", True, True),
        (4000, None, "normal", True, False),
        (4000, 80_000, "medvram", True, True),
        (4000, 80_000, "lowvram", True, True),
        (9000, 8000, "lowvram", False, False),
    ],
)
def test_where_a_model_is_loaded(size, free, vram, accelerator, expected):
    assert rests_in_main_memory(size, free, vram, accelerator=accelerator) is expected


def test_two_models_of_a_job_run_under_the_measures_of_both():
    one = MemoryPlan(("text_encoder_cpu", "vae_slicing"), 500, 8, "SDPA")
    other = MemoryPlan((MODEL, "vae_tiling"), 700, 4)
    assert join_plans(one, other) == MemoryPlan((MODEL, "vae_slicing", "vae_tiling"), 700, 4, "SDPA")
    assert join_plans(MemoryPlan(), MemoryPlan()).predicted_peak is None
    assert group_of("unet@refiner") == "denoiser"


def test_facts_and_bytes_come_from_the_loaded_parts():
    from tests.factories import parts

    with parts.seeded(0):
        components = {
            "unet": parts.unet((32, 64), 16, sample_size=8).half(),
            "vae": parts.vae(),
            "tokenizer": object(),
            "text_encoder": None,
        }
    facts = facts_of(components)
    assert (facts.width, facts.bytes, facts.cells_per_token) == (32, 2, 1)
    assert (facts.vae_width, facts.vae_bytes, facts.latent_factor) == (32, 4, 8)
    assert facts.vae_tile == components["vae"].tile_sample_min_size
    size = ModelBytes.of(components)
    assert size.denoiser == 2 * sum(tensor.numel() for tensor in components["unet"].parameters())
    assert size.vae == 4 * sum(tensor.numel() for tensor in components["vae"].parameters())
    assert size.text_encoder == 0


def test_a_transformer_counts_tokens_and_not_cells():
    from types import SimpleNamespace

    import torch

    layer = torch.nn.Linear(2, 2)
    layer.config = SimpleNamespace(num_attention_heads=24, attention_head_dim=128, in_channels=64, patch_size=1)
    facts = facts_of({"transformer": layer})
    assert (facts.width, facts.heads, facts.cells_per_token) == (3072, 24, 4)


def test_prompts_joined_by_and_are_counted_and_cut_to_what_fits():
    plain, joined = (plan_memory(SD15, 512, 512, 1, 80_000 * MIB, joined=rows) for rows in (0, 9))
    assert joined.predicted_peak == predict(SD15, (), (512, 512), 1, 9, ModelFacts())
    assert joined.predicted_peak > plain.predicted_peak
    assert joined.max_batch == plain.max_batch
    tight = plan_memory(SD15, 512, 512, 1, 3000 * MIB, joined=65)
    assert tight.measures == plan_memory(SD15, 512, 512, 1, 3000 * MIB).measures
    assert 2 <= tight.max_batch < 16
    assert tight.predicted_peak == predict(SD15, tight.measures, (512, 512), 1, tight.max_batch, ModelFacts())
    assert tight.predicted_peak <= 3000 * MIB
