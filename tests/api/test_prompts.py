"""Styles, wildcards and tokens over HTTP, and styles of a request."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def folder(rig):
    return rig.studio.paths.data


def test_styles_are_a1111s(client, folder):
    assert client.get("/sdapi/v1/prompt-styles").json() == []
    (folder / "styles.csv").write_text("name,prompt,negative_prompt\nOil,oil of {prompt},photo\n", "utf-8")
    assert client.get("/sdapi/v1/prompt-styles").json() == [
        {"name": "Oil", "prompt": "oil of {prompt}", "negative_prompt": "photo"}
    ]


def test_styles_are_kept_and_forgotten(client):
    body = {"prompt": "a, {prompt}", "negative_prompt": "b"}
    assert client.put("/api/v1/styles/My%20style", json=body).json() == {"name": "My style", **body}
    assert [row["name"] for row in client.get("/sdapi/v1/prompt-styles").json()] == ["My style"]
    assert client.delete("/api/v1/styles/My%20style").status_code == 200
    assert client.get("/sdapi/v1/prompt-styles").json() == []
    assert client.delete("/api/v1/styles/My%20style").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("%23x", {}),
        ("a%0Ab", {}),
        ("x", {"prompt": "y" * 100_001}),
        ("x", {"prompt": 5}),
        ("x", {"prompt": "\ud800"}),
        ("x" * 201, {}),
    ],
)
def test_a_style_that_makes_no_sense_is_refused(client, path, body):
    text = json.dumps(body)
    answer = client.put(f"/api/v1/styles/{path}", content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_only_admins_change_styles(people):
    _, clients = people
    assert clients["ann"].put("/api/v1/styles/x", json={}).status_code == 403
    assert clients["ann"].delete("/api/v1/styles/x").status_code == 403
    assert clients["ada"].put("/api/v1/styles/x", json={}).status_code == 200
    assert [row["name"] for row in clients["ann"].get("/sdapi/v1/prompt-styles").json()] == ["x"]


def test_wildcards_are_named(client, folder):
    (folder / "wildcards" / "colours").mkdir(parents=True)
    (folder / "wildcards" / "colours" / "warm.txt").write_text("red\n", "utf-8")
    assert client.get("/api/v1/wildcards").json() == {"wildcards": ["colours/warm"]}


def test_tokens_are_counted_without_a_model(client):
    def count(**body):
        return client.post("/api/v1/tokens", json=body)

    assert count(text="a photo of a cat").json() == {"tokens": 5, "limit": 75, "pieces": 1}
    assert count(text="cat " * 80).json() == {"tokens": 80, "limit": 150, "pieces": 2}
    assert count(text="[a:a photo of a cat:5] AND a").json()["tokens"] == 5
    assert count().json() == {"tokens": 0, "limit": 75, "pieces": 1}
    assert count(text="a", model="nope").status_code == 404
    assert count(text="a", steps=0).status_code == 422
    assert count(text="a" * 100_001).status_code == 422
    assert count(text="a AND " * 70).status_code == 422


def test_styles_of_a_request_reach_the_engine(rig, client):
    body = {"prompt": "a", "styles": ["Oil", "None"], "steps": 1}
    assert client.post("/sdapi/v1/txt2img", json=body).status_code == 200
    assert rig.asked.prompt.styles == ("Oil",)
    job = client.post("/api/v1/jobs", json={"prompt": {"text": "a", "styles": ["Ink"]}, "sampling": {"steps": 1}})
    rig.queue.handle(job.json()["id"]).wait(10)
    assert rig.asked.prompt.styles == ("Ink",)


def test_prompts_for_further_encoders_and_modes_are_taken(rig, client):
    body = {"prompt": "a", "prompt_2": "b", "negative_prompt_3": "c", "emphasis": "No norm", "steps": 1}
    assert client.post("/sdapi/v1/txt2img", json=body).status_code == 200
    asked = rig.asked.prompt
    assert (asked.second, asked.negative_third, asked.emphasis, asked.comma_backtrack) == ("b", "c", "No norm", 20)
    settings = {"emphasis": "Ignore", "comma_padding_backtrack": 5}
    assert client.post("/sdapi/v1/txt2img", json={"steps": 1, "override_settings": settings}).status_code == 200
    assert (rig.asked.prompt.emphasis, rig.asked.prompt.comma_backtrack) == ("Ignore", 5)
    assert client.post("/sdapi/v1/txt2img", json={"steps": 1, "emphasis": "loud"}).status_code == 422
