"""Pictures by address: holes of other programs through which a request reached what only the server can reach.

A1111 #12663 and #12698, InvokeAI 6.13.8 (#9492), Open WebUI CVE-2026-45401 and Gradio CVE-2024-47167 are the holes;
each test is a way through one of them (`users.md` of the project's notes, section 2).
"""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modules.bootstrap.options import ROOT
from modules.support.addresses import is_public
from modules.support.fetching import FAILED, Fetcher, FetchFailed, connect
from tests.api.fakes import b64, picture
from tests.security.address_server import OPEN, serving

INNER = """
127.0.0.1 127.1.2.3 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1
168.63.129.16 192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 192.88.99.1 224.0.0.1 239.1.1.1 240.0.0.1
255.255.255.255 :: ::1 fe80::1 fe80::1%eth0 fc00::1 fd12::1 fec0::1 ff02::1 2001:db8::1 ::ffff:127.0.0.1
::ffff:10.0.0.1 ::ffff:93.184.215.14 ::127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::
2001:0:1::1 100::1 localhost example.com 127.1 2130706433 0x7f000001
"""


@pytest.fixture
def site():
    with serving() as running:
        yield running


def failed(site, address, **limits):
    """The address gives nothing, and nobody learns why."""
    with pytest.raises(FetchFailed) as caught:
        site.fetcher(**limits).fetch(address)
    assert caught.value.message == FAILED
    assert caught.value.status == 422
    return True


def test_a_picture_of_the_open_internet_is_fetched_under_its_own_name(site):
    data = picture()
    assert site.fetcher().fetch(site.answer("/a.png?x=1", data)) == data
    assert site.asked == [(f"pictures.test:{site.port}", "/a.png?x=1")]
    assert site.names == ["pictures.test"]
    assert site.connected == [OPEN]


@pytest.mark.parametrize("address", INNER.split())
def test_invokeai_6_13_8_no_inner_address_is_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"])
def test_addresses_of_the_open_internet_are(address):
    assert is_public(address)


@pytest.mark.parametrize("address", [one for one in INNER.split() if one[0].isdigit() or ":" in one])
def test_a1111_12663_a_name_that_leads_inside_is_not_connected_to(site, address):
    site.hosts["inner.test"] = [address]
    assert failed(site, f"https://inner.test:{site.port}/a.png")
    assert (site.connected, site.asked) == ([], [])


def test_a1111_12663_a_name_that_leads_inside_as_well_is_refused_whole(site):
    site.hosts["both.test"] = [OPEN, "127.0.0.1"]
    assert failed(site, f"https://both.test:{site.port}/a.png")
    assert site.connected == []


def test_a1111_12698_a_name_is_resolved_once_and_that_answer_is_connected_to(site):
    """Rebinding: the first answer is good, the second one leads inside."""
    data = picture()
    site.hosts["pictures.test"] = [[OPEN], ["127.0.0.1"]]
    assert site.fetcher().fetch(site.answer("/a.png", data)) == data
    assert site.resolved == ["pictures.test"]
    assert site.connected == [OPEN]


def test_invokeai_6_13_8_the_peer_of_the_connected_socket_is_looked_at():
    refused = pytest.raises(ConnectionRefusedError, match=r"the peer is 127\.0\.0\.1")
    with socket.create_server(("127.0.0.1", 0)) as server, refused:
        connect("127.0.0.1", server.getsockname()[1], 5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_open_webui_cve_2026_45401_every_hop_is_looked_at_again(site, status):
    site.hosts["inner.test"] = ["169.254.169.254"]
    for place in (
        f"https://inner.test:{site.port}/latest/meta-data",
        f"https://127.0.0.1:{site.port}/a.png",
        f"https://[::1]:{site.port}/a.png",
        f"http://pictures.test:{site.port}/a.png",
        "file:///etc/passwd",
        "gopher://pictures.test/",
        "//inner.test/",
        "",
    ):
        site.asked.clear()
        assert failed(site, site.answer("/moved", status=status, location=place))
        assert [path for _, path in site.asked if path != "/moved"] == []
    assert set(site.connected) == {OPEN}


def test_a_redirect_within_the_open_internet_is_followed_a_few_times(site):
    data = picture()
    last = site.answer("/a.png", data)
    for number in range(5):
        host = "moved.test" if number % 2 else "pictures.test"
        last = site.answer(f"/{number}", status=302, location=last).replace("pictures.test", host)
    assert site.fetcher(redirects=5).fetch(last) == data
    assert site.names[:2] == ["pictures.test", "moved.test"]
    site.asked.clear()
    assert failed(site, last, redirects=4)
    assert len(site.asked) == 5


def test_a_certificate_of_another_name_is_refused(site):
    site.hosts["other.test"] = [OPEN]
    assert failed(site, f"https://other.test:{site.port}/a.png")
    assert site.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "http://pictures.test/a.png", "https:/a.png", "https://", "https:///a", "https://user:word@pictures.test/a",
        "https://pictures.test:22/", "https://pictures.test:6379/", "https://pictures.test:99999/",
        "https://pictures.test/\r\nX: y", "https://pictures.test/a b", "https://pictures.test\\@127.0.0.1/",
        "https://pıctures.test/", "https://[::1", "https://" + "a" * 3000,
    ],
)  # fmt: skip
def test_odd_addresses_are_refused_before_anything_is_resolved(site, address):
    assert failed(site, address)
    assert site.resolved == []


def test_too_much_is_not_read_whether_it_is_announced_or_not(site):
    sent = []

    def flood(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(2000):
            handler.wfile.write(b"x" * 10_000)
            sent.append(1)

    assert failed(site, site.answer("/announced", b"x" * 2_000_000))
    assert failed(site, site.answer("/flood", flood))
    assert len(sent) < 2000
    assert failed(site, site.answer("/packed", b"x", content_encoding="gzip"))
    assert failed(site, site.answer("/short", b"x", content_length="5"), seconds=1.0)


def test_a_server_that_drips_is_cut_off(site):
    ended = threading.Event()

    def drip(handler):
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                handler.wfile.write(b"X: y\r\n")
                time.sleep(0.02)
        except OSError:
            ended.set()

    assert failed(site, site.answer("/drip", drip), seconds=0.3)
    assert ended.wait(10)


def test_a_resolver_that_hangs_is_left(site):
    free = threading.Event()
    fetcher = Fetcher(resolve=lambda host, port: free.wait(20) and [])
    with pytest.raises(FetchFailed):
        fetcher.fetch("https://pictures.test/", 0.1)
    free.set()


@pytest.mark.parametrize("status", [204, 206, 400, 401, 403, 404, 418, 500, 503])
def test_every_failure_says_the_same(site, status):
    site.hosts["inner.test"] = ["10.0.0.1"]
    assert failed(site, site.answer("/a.png", picture(), status=status))
    assert failed(site, f"https://inner.test:{site.port}/")
    assert failed(site, f"https://nowhere.test:{site.port}/")


def test_offline_fetches_nothing():
    code = """
from modules.support.offline import forbid_network
from modules.support.fetching import Fetcher
forbid_network()
try:
    Fetcher(resolve=lambda *all: print('asked')).fetch('https://pictures.test/a.png')
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("InvalidRequest The studio runs with --offline")


@pytest.fixture
def open_studio(make_rig, site):
    """A studio that an admin has allowed to fetch, and its client."""
    import dataclasses

    rig = make_rig()
    rig.settings.update({"fetch_picture_urls": True})
    rig.studio = dataclasses.replace(rig.studio, fetcher=site.fetcher())
    return rig, rig.client()


def test_requests_may_name_pictures_where_an_admin_allows_it(open_studio, site):
    rig, client = open_studio
    info = PngInfo()
    info.add_text("parameters", "a cat")
    buffer = io.BytesIO()
    Image.new("RGB", (48, 64), "red").save(buffer, "PNG", pnginfo=info)
    address, mask = site.answer("/a.png", buffer.getvalue()), site.answer("/mask.png", picture((48, 64), 255, "L"))
    body = {"init_images": [address], "mask": f"  {mask} ", "steps": 1}
    assert client.post("/sdapi/v1/img2img", json=body).status_code == 200
    assert Image.open(io.BytesIO(rig.asked.image.images[0])).size == (48, 64)
    assert rig.asked.mode == "inpaint"
    assert client.post("/sdapi/v1/png-info", json={"image": address}).json()["info"] == "a cat"
    assert client.post("/sdapi/v1/extra-single-image", json={"image": address}).status_code == 200
    assert rig.asked.enlarge.infotexts == ("a cat",)
    assert client.post("/api/v1/jobs", json={"image": {"images": [address]}}).status_code == 202


def test_what_is_fetched_is_a_picture_or_nothing(open_studio, site):
    rig, client = open_studio
    secret, bomb = site.answer("/secret", b"root:x:0:0"), site.answer("/bomb", picture((9000, 9000), 0, "1"))
    page = site.answer("/page", b"<html>", content_type="image/png")
    for address in (secret, bomb, page, site.answer("/gone", b"", 404), "https://nowhere.test/a.png"):
        for path, body in (
            ("/sdapi/v1/img2img", {"init_images": [address]}),
            ("/sdapi/v1/png-info", {"image": address}),
            ("/api/v1/jobs", {"image": {"images": [address]}}),
        ):
            answer = client.post(path, json=body)
            assert answer.status_code == 422
            assert "no picture could be fetched from that address" in answer.text
            assert "root" not in answer.text
    plain = client.post("/sdapi/v1/img2img", json={"init_images": ["http://pictures.test/a.png"]})
    assert "only https" in plain.text
    assert rig.queue.list() == []


def test_one_request_names_a_few(open_studio, site):
    _, client = open_studio
    address = site.answer("/a.png", picture())
    given = [{"data": address}] * 17
    answer = client.post("/sdapi/v1/extra-batch-images", json={"imageList": given})
    assert "one address too many; at most 16" in answer.text
    mixed = [{"data": address}] * 16 + [{"data": b64(picture())}]
    assert client.post("/sdapi/v1/extra-batch-images", json={"imageList": mixed}).status_code == 200


def test_only_admins_allow_it(people):
    rig, clients = people
    wanted = {"fetch_picture_urls": True}
    assert clients["ann"].post("/sdapi/v1/options", json=wanted).status_code == 403
    assert not rig.settings["fetch_picture_urls"]
    assert clients["ada"].post("/sdapi/v1/options", json=wanted).status_code == 200
    assert rig.settings["fetch_picture_urls"]
