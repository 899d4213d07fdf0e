"""Accounts, tokens, tiers and credits over HTTP: what admins do with those of others, and everybody with their own."""

from __future__ import annotations

from tests.api.fakes import PASSWORD, made


def signed_in(rig, name, password=PASSWORD):
    client = rig.client()
    assert client.post("/api/v1/session", json={"name": name, "password": password}).status_code == 200
    return client


def test_a_new_account_has_the_tier_of_its_role(rig):
    (ada,) = rig.clients("ada")
    for role, tier in (("admin", "unlimited"), ("user", "standard"), ("guest", "guest")):
        row = ada.post("/api/v1/users", json={"name": f"new-{role}", "password": PASSWORD, "role": role}).json()
        assert (row["role"], row["tier"]) == (role, tier)
        assert ada.get(f"/api/v1/users/new-{role}").json() == row
    assert ada.get("/api/v1/users/nobody").status_code == 404


def test_an_admin_makes_looks_at_and_takes_tokens_of_others(rig):
    ada = signed_in(rig, "ada")
    answer = ada.post("/api/v1/users/bob/tokens", json={"label": "his robot", "days": 3})
    token = answer.json()
    assert answer.status_code == 201
    robot = rig.client(headers={"authorization": f"Bearer {token['text']}"})
    assert robot.get("/api/v1/me").json()["owner"] == "bob"
    (row,) = ada.get("/api/v1/users/bob/tokens").json()["tokens"]
    assert (row["label"], "text" in row) == ("his robot", False)
    assert ada.delete(f"/api/v1/users/ann/tokens/{token['id']}").status_code == 404
    assert ada.delete(f"/api/v1/users/bob/tokens/{token['id']}").status_code == 204
    assert robot.get("/api/v1/me").status_code == 401
    (key,) = rig.clients("ada")
    assert key.post("/api/v1/users/bob/tokens", json={}).status_code == 403  # a token makes no tokens


def test_who_is_signed_out_everywhere_has_to_sign_in_again(rig):
    ada, browsers = signed_in(rig, "ada"), [signed_in(rig, "bob") for _ in range(2)]
    assert ada.delete("/api/v1/users/bob/sessions").json() == {"ended": 2}
    assert [browser.get("/api/v1/me").status_code for browser in browsers] == [401, 401]
    again = signed_in(rig, "bob")
    assert again.delete("/api/v1/me/sessions").json() == {"ended": 1}
    assert again.get("/api/v1/me").status_code == 401
    assert ada.get("/api/v1/me").status_code == 200


def test_people_change_their_own_password(rig):
    bob = signed_in(rig, "bob")
    wrong = {"old": "not his", "new": "battery staple"}
    assert bob.put("/api/v1/me/password", json=wrong).status_code == 401
    assert bob.put("/api/v1/me/password", json={"old": PASSWORD, "new": "short"}).status_code == 422
    assert bob.put("/api/v1/me/password", json={**wrong, "old": PASSWORD}).status_code == 204
    assert bob.get("/api/v1/me").status_code == 401  # every session has ended
    assert rig.client().post("/api/v1/session", json={"name": "bob", "password": PASSWORD}).status_code == 401
    assert signed_in(rig, "bob", "battery staple").get("/api/v1/me").status_code == 200


def test_a_session_left_open_does_not_let_anybody_guess_the_password(rig):
    bob = signed_in(rig, "bob")
    codes = [bob.put("/api/v1/me/password", json={"old": f"guess {n}", "new": PASSWORD}).status_code for n in range(11)]
    assert codes == [401] * 10 + [429]


def test_tiers_come_change_and_go(rig):
    (ada, bob) = rig.clients("ada", "bob")
    tier = {"name": "small", "credits_per_day": 10, "models": ["pocket*"]}
    assert ada.put("/api/v1/tiers/small", json=tier).status_code == 200
    assert bob.get("/api/v1/tiers/small").json()["credits_per_day"] == 10
    assert ada.patch("/api/v1/users/bob", json={"tier": "small"}).json()["tier"] == "small"
    assert "bob" in ada.delete("/api/v1/tiers/small").json()["detail"]
    assert ada.delete("/api/v1/tiers/standard").status_code == 422
    assert ada.patch("/api/v1/users/bob", json={"tier": "standard"}).status_code == 200
    assert ada.delete("/api/v1/tiers/small").status_code == 204
    assert (bob.get("/api/v1/tiers/small").status_code, ada.delete("/api/v1/tiers/small").status_code) == (404, 404)


def test_a_share_that_an_admin_gave_stays_until_it_is_taken_back(rig):
    (ada, bob) = rig.clients("ada", "bob")

    def weight():
        shares = ada.get("/api/v1/queue").json()["shares"]
        return next((row["weight"] for row in shares if row["owner"] == "bob"), None)

    ada.put("/api/v1/tiers/standard", json={"name": "standard", "weight": 2})
    rig.queue.handle(made(bob)["id"]).wait(10)
    assert weight() == 2
    assert ada.put("/api/v1/queue/shares/bob", json={"weight": 5}).status_code == 200
    rig.queue.handle(made(bob)["id"]).wait(10)
    assert (weight(), bob.get("/api/v1/me").json()["tier"]["weight"]) == (5, 5)
    assert bob.delete("/api/v1/queue/shares/bob").status_code == 403
    assert ada.delete("/api/v1/queue/shares/bob").status_code == 200
    assert weight() == 2
    rig.queue.handle(made(bob)["id"]).wait(10)
    assert weight() == 2


def test_what_is_left_is_there_to_be_seen(rig):
    (ada, ann) = rig.clients("ada", "ann")  # who asks for pictures in this test alone
    limits = {"name": "standard", "credits_per_day": 10, "pictures_per_minute": 5, "queue_depth": 3}
    ada.put("/api/v1/tiers/standard", json=limits)
    rig.engine.hold()
    made(ann, canvas={"width": 1000, "height": 1000}, sampling={"steps": 2})
    told = ann.get("/api/v1/me").json()
    assert (told["used_today"], told["left_today"], told["left_this_month"]) == (2, 8, None)
    assert (told["left_this_minute"], told["jobs"], told["jobs_left"]) == (4, 1, 2)
    assert ada.get("/api/v1/users/ann/allowance").json() == told
    assert ada.post("/api/v1/users/ann/grants", json={"credits": 5}).status_code == 201
    assert ann.get("/api/v1/me").json()["left_today"] == 13
    free = ada.get("/api/v1/me").json()
    assert [free[name] for name in ("left_today", "left_this_minute", "jobs_left")] == [None, None, None]


def test_without_an_account_there_is_nothing_to_change(tmp_path):
    from tests.api.fakes import Rig

    rig = Rig(tmp_path)
    client = rig.client()
    for method, path, body in (
        ("put", "/api/v1/me/password", {"old": "x", "new": "battery staple"}),
        ("post", "/api/v1/me/tokens", {}),
        ("delete", "/api/v1/me/sessions", None),
    ):
        answer = client.request(method, path, json=body)
        assert (answer.status_code, "local has no account" in answer.text) == (403, True), path
    assert client.get("/api/v1/me").json()["jobs"] == 0
    rig.close()
