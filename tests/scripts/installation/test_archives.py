"""Zip files of extensions: nothing lies outside, nothing is a link, nothing grows without end."""

from __future__ import annotations

import stat
import zipfile

import pytest

from modules.contracts.errors import InvalidRequest
from modules.contracts.installing import Source
from modules.scripts.installation import sources
from tests.scripts.installation.conftest import packed


def entry(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def test_a_zip_file_with_one_folder_is_that_folder(installer, tmp_path):
    data = packed([("haze-main/scripts/a.py", "1"), ("haze-main/.git/config", "x"), ("__MACOSX/a", "x")])
    change = installer.install(Source(archive=data))
    assert (change.name, change.files, change.source) == ("haze", 1, "a zip file")
    assert (tmp_path / "extensions" / "haze" / "scripts" / "a.py").read_text() == "1"
    with pytest.raises(InvalidRequest, match="Nobody knows where haze"):
        installer.update("haze")
    with pytest.raises(InvalidRequest, match="cannot be the name"):
        installer.install(Source(archive=packed([("scripts/a.py", "1"), ("b.py", "1")])))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([("../out.py", "")], "lies outside"),
        ([("a/../../out.py", "")], "lies outside"),
        ([("/etc/out.py", "")], "lies outside"),
        ([("a\\..\\out.py", "")], "lies outside"),
        ([("C:/out.py", "")], "lies outside"),
        ([(entry("a/link", stat.S_IFLNK | 0o777), "/etc/passwd")], "is a link"),
        ([(entry("a/pipe", stat.S_IFIFO | 0o777), "")], "is a link or a device"),
        ([("a/b.py", ""), ("a/B.py", "")], "a name twice"),
        ([("a/b", ""), ("a/b/c.py", "")], "cannot be unpacked"),
        ([], "no files"),
    ],
)
def test_what_would_lie_elsewhere_or_is_no_plain_file_is_refused(installer, seen, entries, said):
    with pytest.raises(InvalidRequest, match=said):
        installer.install(Source(archive=packed(entries), name="haze"))
    assert seen() == {}


def test_size_and_number_of_what_comes_out_are_bounded(installer, seen, monkeypatch):
    monkeypatch.setattr(sources, "MOST_BYTES", 1 << 20)
    with pytest.raises(InvalidRequest, match="may have 1 MiB"):
        installer.install(Source(archive=packed([("haze/a.bin", b"\0" * (3 << 20))])))
    monkeypatch.setattr(sources, "MOST_FILES", 3)
    with pytest.raises(InvalidRequest, match="may have 3 files"):
        installer.install(Source(archive=packed([(f"haze/{number}.py", "") for number in range(4)])))
    with pytest.raises(InvalidRequest, match="cannot be unpacked"):
        installer.install(Source(archive=b"PK no zip", name="haze"))
    assert seen() == {}


def test_damaged_zip_files_are_a_sentence_without_a_path(installer, seen, tmp_path):
    whole = packed([("haze/a.py", "".join(map(str, range(500)))), ("haze/b.py", "")])
    flipped = bytearray(whole)
    flipped[30 + len("haze/a.py") + 4] ^= 0xFF
    odd = bytearray(packed([("haze/\xe9.py", "")]))
    start = odd.rindex("\xe9".encode())
    odd[start : start + 2] = b"\xff\xff"
    for data in (bytes(flipped), bytes(odd), packed([(f"haze/{'x' * 300}.py", "")])):
        with pytest.raises(InvalidRequest, match="The zip file cannot be unpacked: ") as told:
            installer.install(Source(archive=data, name="haze"))
        assert str(tmp_path) not in str(told.value)
    assert seen() == {}


def test_a_folder_with_links_is_refused(installer, folder, seen):
    made = folder("haze", {"a.py": ""})
    (made / "link").symlink_to("/etc")
    with pytest.raises(InvalidRequest, match="link is a link"):
        installer.install(Source(made, local=True))
    assert seen() == {}
