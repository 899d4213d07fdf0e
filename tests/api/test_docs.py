"""The OpenAPI document: names that generated clients know, and addresses behind a sub-path."""

from __future__ import annotations

import re

from fastapi import routing

from modules.api.messages import Complaint, Failure, Plain
from modules.api.openai import OpenAIFailure


def test_the_document_describes_fields_as_declared(client):
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    steps = schemas["StableDiffusionProcessingTxt2Img"]["properties"]["steps"]
    assert (steps["default"], steps["minimum"], steps["maximum"]) == (50, 1, 1000)
    assert schemas["StableDiffusionProcessingImg2Img"]["properties"]["denoising_strength"]["default"] == 0.75
    names = {"TextToImageResponse", "ImageToImageResponse", "PNGInfoResponse", "ProgressResponse", "SamplerItem"}
    assert names | {"SDModelItem", "UpscalerItem", "Options", "ScriptsList"} <= set(schemas)
    answer = document["paths"]["/sdapi/v1/txt2img"]["post"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("TextToImageResponse")
    assert "servers" not in document
    named = set(re.findall(r"'#/components/schemas/([^']+)'", repr(document)))
    assert named <= set(schemas)
    assert {"Failure", "Complaint", "Plain", "OpenAIFailure", "OpenAIError"} <= named
    wrong = document["paths"]["/sdapi/v1/txt2img"]["post"]["responses"]["422"]["content"]["application/json"]
    assert [item["$ref"].rpartition("/")[2] for item in wrong["schema"]["anyOf"]] == ["Failure", "Complaint"]


def test_no_validator_is_built_of_what_is_only_described(rig, monkeypatch):
    built = []
    plain = routing.create_model_field

    def create(name, type_, **named):
        built.append(type_)
        return plain(name=name, type_=type_, **named)

    monkeypatch.setattr(routing, "create_model_field", create)
    rig.application()
    assert len(built) > 20
    assert not {Failure, Failure | Complaint, Failure | Plain, OpenAIFailure} & set(built)


def test_the_pages_for_reading_it_are_there(client):
    assert "/openapi.json" in client.get("/docs").text
    assert "/openapi.json" in client.get("/redoc").text


def test_the_pages_ask_no_other_host(client):
    for page in ("/docs", "/redoc"):
        text = client.get(page).text
        wanted = re.findall(r'(?:src|href)="([^"]+)"', text)
        assert wanted
        for address in wanted:
            assert address.startswith("/"), address
            answer = client.get(address)
            assert answer.status_code == 200, address
            assert len(answer.content) > 1000
    assert client.get("/docs/parts/consts.py").status_code == 404
    assert client.get("/docs/parts/..%2f__init__.py").status_code == 404


def test_a_sub_path_shows_in_document_and_page(make_rig):
    client = make_rig(network={"subpath": "/atelier"}).client()
    for prefix in ("", "/atelier"):
        assert "'/atelier/openapi.json'" in client.get(f"{prefix}/docs").text
        assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/atelier"}]
        assert client.get(f"{prefix}/sdapi/v1/samplers/").status_code == 200
        assert client.get(f"{prefix}/healthz").status_code == 200
