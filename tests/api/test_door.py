"""Who may talk to the studio: names and passwords, foreign pages, foreign names, size and kind of bodies."""

from __future__ import annotations

import base64
import re

import pytest
from starlette.websockets import WebSocketDisconnect

from modules.api.guard import JSON_ONLY, REFUSED
from modules.contracts.accounts import SESSION_COOKIE
from tests.api.fakes import PASSWORD
from tests.security.walk import flat, mounts_of, sockets_of

OPEN = {"/healthz", "/readyz"}
SESSION = "/api/v1/session"
PAIRS = (("ann", "correct:horse"), ("bob", "päss"))


def routes_of(app):
    """Every method and path of the OpenAPI document, and the documents themselves."""
    listed = [(method, path) for path, item in app.openapi()["paths"].items() for method in item]
    hidden = [("get", path) for path in ("/docs", "/redoc", "/openapi.json", "/docs/parts/favicon.png", "/status")]
    return sorted({*listed, *hidden})


def test_every_route_but_the_probes_wants_to_know_who_asks(make_rig):
    app = make_rig(network={"api_auth": PAIRS}).application()
    rig_client = make_rig(network={"api_auth": PAIRS}).client(app)
    routes = routes_of(app)
    assert len(routes) > 35
    for method, path in routes:
        answer = rig_client.request(method, re.sub(r"\{.*?\}", "1", path), json=None if method == "get" else {})
        if path in OPEN:
            assert answer.status_code in (200, 503)
        elif path == SESSION and method in ("post", "delete"):
            assert answer.status_code == (422 if method == "post" else 200)
        else:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Basic")


def test_no_route_hides_from_the_walk(rig):
    app = rig.application()
    described = {path for _, path in routes_of(app)}
    paths = {getattr(route, "path", None) or "" for route in flat(app.router.routes)} - {""}
    paths = {path.replace(":path}", "}") for path in paths}
    assert "/api/v1/jobs/{job_id}" in described
    of_extensions = "/{address}"  # what they answer at places of their own; test_extensions.py knocks at its door
    assert paths <= described | {"/sign-in", "/docs/parts/{name}", of_extensions} | sockets_of(app) | mounts_of(app)


def test_a_slash_at_the_end_changes_nothing(make_rig):
    app = make_rig(network={"api_auth": PAIRS}).application()
    client = make_rig(network={"api_auth": PAIRS}).client(app)
    for method, path in routes_of(app):
        if path.startswith(JSON_ONLY) and path != SESSION:
            answer = client.request(
                method,
                re.sub(r"\{.*?\}", "1", path) + "/",
                json=None if method == "get" else {},
                follow_redirects=False,
            )
            assert answer.status_code == 401, (method, path)


def test_every_websocket_wants_to_know_who_asks(make_rig):
    rig = make_rig(network={"api_auth": PAIRS})
    app = rig.application()
    assert sockets_of(app)
    for path in sockets_of(app):
        with pytest.raises(WebSocketDisconnect) as refused, rig.client(app).websocket_connect(path):
            pass
        assert refused.value.code == 4401, path


def test_every_mount_wants_to_know_who_asks_in_http_and_by_websocket(make_rig):
    rig = make_rig(network={"api_auth": PAIRS})
    app = rig.application()
    client = rig.client(app)
    assert mounts_of(app) == {"/ws", "/socket.io"}
    for place in mounts_of(app):
        for below in ("/", "/socket.io/", "/socket.io/?EIO=4&transport=polling", "/socket.io/?sid=1", "/other"):
            for method in ("get", "post", "put", "delete", "patch", "head"):
                answer = client.request(method, f"{place}{below}")
                assert answer.status_code == 401, (method, place, below)
        for below in ("/", "/socket.io/?EIO=4&transport=websocket", "/other"):
            with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect(f"{place}{below}"):
                pass
            assert refused.value.code == 4401, (place, below)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_known_pair_comes_in(make_rig, pair):
    rig = make_rig(network={"api_auth": PAIRS})
    client = rig.client()
    assert client.get("/sdapi/v1/options", auth=(pair[0].encode(), pair[1].encode())).status_code == 200
    answer = client.post("/sdapi/v1/txt2img", json={"steps": 1}, auth=(pair[0].encode(), pair[1].encode()))
    assert answer.status_code == 200
    assert rig.queue.list()[0].owner == pair[0]


def test_a_script_of_a_page_makes_no_browser_ask_for_a_password(make_rig):
    client = make_rig(network={"api_auth": PAIRS}).client()
    by_hand = {"sec-fetch-mode": "navigate", "sec-fetch-site": "none"}
    by_script = {"sec-fetch-mode": "cors", "sec-fetch-site": "same-origin"}
    assert "www-authenticate" in client.get("/docs", headers=by_hand).headers
    assert "www-authenticate" not in client.get("/api/v1/session", headers=by_script).headers
    wrong = client.post("/api/v1/session", json={"name": "ann", "password": "no"}, headers=by_script)
    assert (wrong.status_code, "www-authenticate" in wrong.headers) == (401, False)


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic %%%", "Basic YW5u", "Bearer YW5uOmNvcnJlY3Q6aG9yc2U=", "Basic YW5uOndyb25n", "Basic Og=="],
)
def test_anything_else_does_not(make_rig, header):
    client = make_rig(network={"api_auth": PAIRS}).client()
    assert client.get("/sdapi/v1/options", headers={"authorization": header}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://[::1"},
    ],
)
def test_a_page_of_another_origin_changes_nothing(client, rig, headers):
    for path, body in (("txt2img", {"steps": 1}), ("options", {"jpeg_quality": 1}), ("interrupt", None)):
        answer = client.post(f"/sdapi/v1/{path}", json=body, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["error"] == "foreign_origin"
    assert rig.queue.list() == []
    assert rig.settings["jpeg_quality"] == 90


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"},
        {"origin": "https://studio.example", "x-forwarded-host": "studio.example"},
    ],
)
def test_our_own_pages_and_programs_may(client, headers):
    assert client.post("/sdapi/v1/txt2img", json={"steps": 1}, headers=headers).status_code == 200


def test_origins_that_were_let_in_may_and_are_told_so(make_rig):
    client = make_rig(network={"cors_allow_origins": ("https://friend.example",)}).client()
    headers = {"origin": "https://friend.example"}
    answer = client.post("/sdapi/v1/txt2img", json={"steps": 1}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"
    asking = {**headers, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert client.options("/sdapi/v1/txt2img", headers=asking).status_code == 200
    stranger = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert client.options("/sdapi/v1/txt2img", headers=stranger).status_code == 400
    assert client.post("/sdapi/v1/interrupt", headers={"origin": "https://evil.example"}).status_code == 403


def test_an_origin_of_null_needs_a_token(make_rig):
    rig = make_rig()
    app = rig.application()
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    token = rig.accounts.add_token("ada", "test")[1]
    headers = {"origin": "null", "sec-fetch-site": "cross-site"}

    def asked(authorization=None, cookie=None):
        client = rig.client(app, headers={**headers, **({"authorization": authorization} if authorization else {})})
        if cookie:
            client.cookies.set(SESSION_COOKIE, cookie)
        return client.post("/sdapi/v1/options", json={"jpeg_quality": 1})

    basic = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    session = rig.accounts.sign_in(rig.accounts.by_token(token))
    refused = [asked(), asked(f"Basic {basic}"), asked(cookie=session), asked("Bearer wrong"), asked("Bearer")]
    assert [answer.status_code for answer in refused] == [403] * 5
    assert {answer.json()["error"] for answer in refused} == {"foreign_origin"}
    assert rig.settings["jpeg_quality"] == 90
    assert asked(f"Bearer {token}", cookie=session).status_code == 200
    assert rig.settings["jpeg_quality"] == 1
    evil = rig.client(app, headers={"origin": "https://evil.example", "authorization": f"Bearer {token}"})
    assert evil.post("/sdapi/v1/options", json={"jpeg_quality": 2}).status_code == 403


def test_a_websocket_of_a_null_origin_needs_a_token_too(make_rig):
    rig = make_rig()
    rig.accounts.add_user("ada", PASSWORD, role="admin")
    token = rig.accounts.add_token("ada", "test")[1]
    client = rig.client(headers={"origin": "null"})
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/api/v1/ws"):
        pass
    assert refused.value.code == REFUSED
    with client.websocket_connect("/api/v1/ws", headers={"authorization": f"Bearer {token}"}):
        pass


def test_without_the_flag_no_page_is_told_it_may_read(client):
    answer = client.get("/sdapi/v1/options", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[::1"])
def test_a_name_that_was_rebound_to_this_machine_is_not_answered(client, host):
    answer = client.get("/sdapi/v1/options", headers={"host": host})
    assert answer.status_code == 403
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
def test_names_of_this_machine_are(client, host):
    assert client.get("/sdapi/v1/options", headers={"host": host}).status_code == 200


def test_behind_a_password_any_name_will_do(make_rig):
    client = make_rig(network={"api_auth": PAIRS}).client()
    answer = client.get("/sdapi/v1/options", headers={"host": "studio.example"}, auth=PAIRS[0])
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_body_that_a_simple_form_could_send_is_not_taken(client, rig, kind):
    answer = client.post("/sdapi/v1/txt2img", content=b'{"steps": 1}', headers={"content-type": kind})
    assert answer.status_code == 415
    assert rig.queue.list() == []


def test_a_body_too_large_is_refused_before_it_is_read(client):
    reads = []

    def chunks():
        for _ in range(100):
            reads.append(1)
            yield b" " * (1 << 20)

    headers = {"content-type": "application/json"}
    declared = client.post("/sdapi/v1/txt2img", content=b"{}", headers={**headers, "content-length": str(1 << 30)})
    assert declared.status_code == 413
    counted = client.post("/sdapi/v1/txt2img", content=chunks(), headers=headers)
    assert counted.status_code == 413
    assert "64 MiB" in counted.json()["detail"]


def test_the_api_can_be_left_out(make_rig):
    client = make_rig(network={"api": False}).client()
    assert client.get("/sdapi/v1/options").status_code == 404
    assert client.get("/docs").status_code == 404
    assert client.get("/healthz").status_code == 200
