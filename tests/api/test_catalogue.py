"""`/api/v1`: models, families, VAEs, samplers, schedules and upscalers, with filters and pages."""

from __future__ import annotations

import pytest

from modules.sd_models.families import load_families
from modules.support.paths import ROOT


@pytest.fixture
def typed(rig):
    """GET below /api/v1 that has to succeed, over a catalogue that knows the real families."""
    families = load_families(ROOT / "configs" / "families.json")
    rig.catalog.families = lambda: families
    client = rig.client()

    def fetch(path, **query):
        answer = client.get(f"/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    fetch.client = client
    return fetch


def names(answer, what):
    return [row["name"] for row in answer[what]]


def test_models_are_listed_with_what_they_can_do_and_never_with_a_path(typed, tmp_path):
    told = typed("models")
    assert names(told, "models") == ["pocket", "people/photo", "torn"]
    assert (told["total"], told["following"]) == (3, None)
    photo = told["models"][1]
    assert (photo["title"], photo["hash"], photo["family"]) == ("people/photo [0123456789]", "0123456789", "sd15")
    assert "hires" in photo["capabilities"]
    assert photo["defaults"]["sampler"] == "DPM++ 2M"
    assert [row["current"] for row in told["models"]] == [True, False, False]
    torn = told["models"][2]
    assert (torn["usable"], torn["problem"], torn["capabilities"]) == (False, "torn is cut off.", [])
    assert str(tmp_path) not in typed.client.get("/api/v1/models").text


def test_the_current_model_is_that_of_the_settings(typed, rig):
    rig.settings.update({"sd_model_checkpoint": "people/photo"})
    assert [row["current"] for row in typed("models")["models"]] == [False, True, False]
    rig.settings.update({"sd_model_checkpoint": "torn"})
    assert not any(row["current"] for row in typed("models")["models"])


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"text": "PHOTO"}, ["people/photo"]),
        ({"family": "sd15"}, ["pocket", "people/photo"]),
        ({"usable": "false"}, ["torn"]),
        ({"layout": "diffusers"}, ["pocket"]),
        ({"capability": "tiling"}, ["pocket", "people/photo"]),
        ({"capability": "flying"}, []),
        ({"limit": 1, "after": 1}, ["people/photo"]),
    ],
)
def test_models_are_filtered(typed, query, wanted):
    assert names(typed("models", **query), "models") == wanted


def test_pages_lead_from_one_to_the_next(typed):
    seen, after = [], 0
    while after is not None:
        page = typed("samplers", limit=4, after=after)
        seen += names(page, "samplers")
        after = page["following"]
    assert seen == names(typed("samplers"), "samplers")
    assert page["total"] == len(seen) == 6


@pytest.mark.parametrize("query", ["family=sd99", "layout=zip", "limit=0", "after=-1", "limit=1001", "text=%00"])
def test_what_cannot_be_asked_for_is_refused(typed, query):
    assert typed.client.get(f"/api/v1/models?{query}").status_code == 422


def test_one_model_by_its_name_with_a_slash(typed):
    assert typed("models/people/photo") == typed("models")["models"][1]
    assert typed("models/people%2Fphoto")["name"] == "people/photo"
    assert typed("models/torn")["problem"] == "torn is cut off."
    missing = typed.client.get("/api/v1/models/../../etc/passwd")
    assert missing.status_code == 404
    missing = typed.client.get("/api/v1/models/..%2f..%2fetc%2fpasswd")
    assert (missing.status_code, missing.json()["error"]) == (404, "unknown_model")


def test_folders_are_looked_at_again(typed, rig):
    answer = typed.client.post("/api/v1/models/refresh")
    assert (answer.status_code, answer.json()["total"], rig.catalog.refreshed) == (200, 3, 1)


def test_what_else_there_is_to_draw_with(typed):
    sd15 = typed("families", text="1.x")["families"][0]
    assert (sd15["id"], sd15["size_multiple"], sd15["prediction"]) == ("sd15", 8, "epsilon")
    assert typed("vaes")["vaes"] == [{"name": "soft", "usable": True, "problem": None}]
    sampler = typed("samplers", text="k_euler a")["samplers"]
    assert [row["name"] for row in sampler] == ["Euler a"]
    assert sampler[0] == {"name": "Euler a", "aliases": ["k_euler a"], "flow": True, "options": {"order": 2}}
    assert typed("samplers", flow="false")["total"] == 0
    assert typed("schedulers", text="sgm")["schedulers"] == [
        {"name": "sgm_uniform", "label": "SGM Uniform", "aliases": []}
    ]


def test_upscalers_of_pictures_and_of_latents(typed):
    assert names(typed("upscalers", latent="true"), "upscalers") == ["Latent", "Latent (nearest)"]
    rows = typed("upscalers", latent="false")["upscalers"]
    assert [(row["name"], row["model"], row["scale"], row["usable"]) for row in rows] == [
        ("Lanczos", False, None, True),
        ("net-x2", True, 2.0, True),
        ("old", True, 4.0, False),
    ]
    assert names(typed("upscalers", usable="false"), "upscalers") == ["old"]
    assert "/models/upscalers" not in typed.client.get("/api/v1/upscalers").text
