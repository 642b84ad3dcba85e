"""Archives are unpacked without trust and checked; fetching goes on where it stopped."""

from __future__ import annotations

import contextlib
import io
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from ramen.data import get as module
from ramen.data import load_dataset
from ramen.data.cards import shipped_facts
from ramen.data.get import fetch, get, unpack
from ramen.errors import InputError, WorkError


@pytest.fixture(autouse=True)
def card(small_set, monkeypatch):
    """A card of the small set under a name of its own."""
    facts = {"name": "Fruit", "title": "Fruit", "train": 3, "test": 1, "labels": 4, "A": 0.6, "B": 2.6, "source": "me"}
    monkeypatch.setattr(module, "shipped_facts", lambda: {"Fruit": facts, "Stones": {**facts, "labels": 5}})


def packed(folder: Path, archive: Path, inside: str = "Fruit/") -> Path:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
            for path in files:
                out.write(path, inside + str(path.relative_to(folder)))
    else:
        with tarfile.open(archive, f"w:{archive.suffix[1:] if archive.suffix != '.tar' else ''}") as out:
            for path in files:
                out.add(path, inside + str(path.relative_to(folder)))
    return archive


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
@pytest.mark.parametrize("inside", ["", "Fruit/", "x/y/"])
def test_every_kind_of_archive(small_set, tmp_path, name, inside):
    get("Fruit", str(packed(small_set, tmp_path / name, inside)), tmp_path / "out", print)
    found = load_dataset(tmp_path / "out")
    assert len(found.train) == 3 and found.card.A == 0.6 and found.card.source == "me"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out", "small"])


def test_other_sizes_than_the_card_s_leave_nothing(small_set, tmp_path):
    archive = packed(small_set, tmp_path / "a.zip")
    with pytest.raises(InputError, match="Stones|Fruit: other sizes than the card's: labels 4, expected 5"):
        get("Stones", str(archive), tmp_path / "out", print)
    (small_set / "trn.json").write_text("no")
    with pytest.raises(InputError, match=r"trn\.json, line 1: broken json"):
        get("Fruit", str(packed(small_set, tmp_path / "b.zip")), tmp_path / "out", print)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*tmp*"))


def evil_zip(path: Path, name: str, content: bytes = b"x", mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        out.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def evil_tar(path: Path, name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Path:
    with tarfile.open(path, "w") as out:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, 1 if kind == tarfile.REGTYPE else 0
        out.addfile(member, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize("name", ["../out.txt", "a/../../b", "/etc/x", "..\\x", "C:\\x", "a/./../../x"])
@pytest.mark.parametrize("make", [evil_zip, evil_tar])
def test_no_member_leaves_the_folder(tmp_path, make, name):
    with pytest.raises(InputError, match="would be written outside the folder|broken"):
        unpack(make(tmp_path / "a", name), tmp_path / "deep/er/in")
    left = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"a", "small"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    with pytest.raises(InputError, match="is a link or a device"):
        unpack(evil_tar(tmp_path / "a", "x", kind, "/etc/passwd"), tmp_path / "in")
    with pytest.raises(InputError, match="is a link"):
        unpack(evil_zip(tmp_path / "b", "x", b"/etc/passwd", 0o120777), tmp_path / "in2")


def test_a_bomb_stops_early(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SPARE", 1 << 16)
    archive = evil_zip(tmp_path / "a", "x", bytes(1 << 24))
    with pytest.raises(InputError, match="unpacks to more than 100 times its size"):
        unpack(archive, tmp_path / "in")
    assert (tmp_path / "in/x").stat().st_size < 1 << 23


def test_bad_sources_are_one_error(small_set, tmp_path):
    with pytest.raises(InputError, match="unknown data set 'Friut': did you mean 'Fruit'?"):
        get("Friut", "x", tmp_path / "out", print)
    with pytest.raises(InputError, match=r"x\.zip: no such file, expected an archive"):
        get("Fruit", str(tmp_path / "x.zip"), tmp_path / "out", print)
    with pytest.raises(InputError, match="is not empty"):
        get("Fruit", "x", small_set, print)
    (tmp_path / "x.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"expected a \.zip, \.tar"):
        get("Fruit", str(tmp_path / "x.zip"), tmp_path / "out", print)
    whole = packed(small_set, tmp_path / "a.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(whole[:50] + bytes(100) + whole[150:])
    with pytest.raises(InputError, match="broken archive"):
        get("Fruit", str(tmp_path / "x.zip"), tmp_path / "out", print)
    cut = packed(small_set, tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "y.tar.gz").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(InputError, match="broken archive|expected a"):
        get("Fruit", str(tmp_path / "y.tar.gz"), tmp_path / "out", print)


class Server(BaseHTTPRequestHandler):
    """Serves ``content``, at most ``most`` bytes an answer; knows ranges where asked to."""

    content, most, ranges, asked = b"", 10**9, True, []  # type: ignore[var-annotated]

    def do_GET(self) -> None:  # noqa: N802
        asked = self.headers.get("Range")
        type(self).asked.append(asked)
        if self.path != "/a.zip":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        self.send_response(206 if asked and self.ranges else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start : start + self.most])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(small_set, tmp_path) -> Iterator[str]:
    Server.content = packed(small_set, tmp_path / "served.zip").read_bytes()
    Server.most, Server.ranges, Server.asked = 10**9, True, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/a.zip"
        running.shutdown()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_fetch_that_broke_off_goes_on(server, tmp_path, ranges):
    Server.most, Server.ranges = 300, ranges
    with pytest.raises(WorkError, match=r"a\.zip: broke off at byte 300 of .*; call again to go on"):
        get("Fruit", server, tmp_path / "out", print)
    Server.most = 10**9
    get("Fruit", server, tmp_path / "out", print)
    assert Server.asked == [None, "bytes=300-"]
    assert len(load_dataset(tmp_path / "out").train) == 3
    assert not list(tmp_path.glob("out.*"))


def test_what_is_fetched_is_not_fetched_again(server, tmp_path):
    (tmp_path / "f.part").write_bytes(Server.content)
    fetch(server, tmp_path / "f", print)
    assert (tmp_path / "f").read_bytes() == Server.content
    fetch(server, tmp_path / "f", print)
    assert len(Server.asked) == 1


def test_an_address_that_is_not_there(server, tmp_path):
    with pytest.raises(InputError, match="the server answers 404"):
        get("Fruit", server.replace("a.zip", "b.zip"), tmp_path / "out", print)
    with pytest.raises(WorkError, match="call again to go on"):
        get("Fruit", "http://127.0.0.1:9/a.zip", tmp_path / "out", print)


def test_the_command_on_a_real_set(real_data, tmp_path, monkeypatch, ramen_here):
    monkeypatch.setattr(module, "shipped_facts", shipped_facts)
    archive = packed(real_data("Bibtex"), tmp_path / "Bibtex.zip", "Bibtex/")
    call = ["data", "get", "Bibtex", "--from", str(archive), "--out", "b"]
    done = ramen_here(*call)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((tmp_path / "b/card.yaml").read_text())["labels"] == 159
    call[call.index("Bibtex")], call[-1] = "Delicious", "c"
    wrong = ramen_here(*call)
    assert wrong.returncode == 2 and "train 4,880, expected 12,920" in wrong.stderr


def test_archives_broken_anywhere_are_one_error(small_set, tmp_path):
    """Bytes of the list of a zip's members, and of the end of a tar.gz, changed one at a time."""
    for name in ("a.zip", "a.tar.gz"):
        whole = packed(small_set, tmp_path / name).read_bytes()
        for number, at in enumerate(range(len(whole) - 600, len(whole), 7)):
            for value in (0, 255, whole[at] ^ 16):
                archive = tmp_path / f"broken-{name}"
                archive.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
                out = tmp_path / f"{name}-{number}-{value}"
                with contextlib.suppress(InputError):
                    unpack(archive, out)
                shutil.rmtree(out, ignore_errors=True)


@pytest.mark.parametrize("names", [["a/b", "a"], ["a", "a/b"], ["x" * 300]])
def test_names_that_are_none_here(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    with pytest.raises(InputError, match="is no name for a file here|occurs twice"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
