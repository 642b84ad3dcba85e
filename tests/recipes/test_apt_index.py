"""apt itself on a repository in a folder: no network, no root, both formats of sources."""

import gzip
import hashlib
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest
from ramen.data.recipes.apt_index import fetch
from ramen.data.recipes.deb822 import open_index, read_index, stanzas

from ramen.data.prepare import NoIndex, prepare

needs_apt = pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg")), reason="this machine has no apt-get"
)


def release(root: Path, suite: str, packages: int, components: tuple[str, ...] = ("main",)) -> None:
    """Write one suite: Packages.xz and Translation-en.gz per component, and an unsigned Release."""
    machine = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
    architecture = machine.stdout.strip()
    folder = root / "dists" / suite
    listed = []
    for component in components:
        index = "".join(f"Package: {component}-p{i}\nArchitecture: all\nVersion: 1\n\n" for i in range(packages))
        long = f"Package: {component}-p0\nDescription-md5: {0:032x}\nDescription-en: a\n Long.\n"
        for path, content, pack in (
            (f"{component}/binary-{architecture}/Packages.xz", index, lzma.compress),
            (f"{component}/i18n/Translation-en.gz", long, gzip.compress),
            (f"{component}/Contents-{architecture}.gz", f"usr/bin/tool x/{component}-p0\n", gzip.compress),
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(pack(content.encode()))
            for name, data in ((path, pack(content.encode())), (path.rpartition(".")[0], content.encode())):
                listed.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n")
    fields = {
        "Origin": "Test",
        "Suite": "stable" + suite.removeprefix("toy"),
        "Codename": suite,
        "Date": "Sat, 11 Jul 2026 10:16:37 UTC",
        "Architectures": architecture,
        "Components": " ".join(components),
        "SHA256": "\n" + "".join(listed).rstrip("\n"),
    }
    (folder / "Release").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))


def use_sources(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, text: str) -> None:
    """Point apt at these sources only, as APT_CONFIG lets any caller do."""
    parts = folder / "sources.list.d"
    parts.mkdir()
    (parts / name).write_text(text)
    config = folder / "test.conf"
    config.write_text(f'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "{parts}";\n')
    monkeypatch.setenv("APT_CONFIG", str(config))


@needs_apt
@pytest.mark.parametrize("form", ["one-line", "deb822"])
def test_base_release_is_chosen_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    root = tmp_path / "repository"
    release(root, "toy", packages=600, components=("main", "universe", "restricted"))
    release(root, "toy-updates", packages=2000)
    release(root, "vendor", packages=40)
    if form == "one-line":
        text = "".join(
            f"deb [trusted=yes] file:{root} {suite} {components}\n"
            for suite, components in (("toy-updates", "main"), ("toy", "main universe restricted"), ("vendor", "main"))
        )
        use_sources(monkeypatch, tmp_path, "test.list", text)
    else:
        common = f"Types: deb deb-src\nURIs: file:{root}\nTrusted: yes\n"
        text = f"{common}Suites: toy\nComponents: main universe restricted\n\n"
        text += f"{common}Suites: toy-updates vendor\nComponents: main\n"
        use_sources(monkeypatch, tmp_path, "test.sources", text)
    lines: list[str] = []
    (tmp_path / "apt").mkdir()
    index = fetch(tmp_path / "apt", lines.append)
    assert (index.suite, index.date) == ("toy", "Sat, 11 Jul 2026 10:16:37 UTC")
    assert [name.split("/")[0] for name, _ in index.packages] == ["main", "universe"]
    for _, file in index.packages:
        assert len(list(stanzas(read_index(file), file.name))) == 600
    assert len(index.translations) == 2
    assert lines[-1] == "toy: 1200 packages"
    assert index.contents == []


@needs_apt
def test_contents_are_fetched_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository"
    release(root, "toy", packages=1000, components=("main", "universe"))
    release(root, "toy-updates", packages=2000)
    text = "".join(f"deb [trusted=yes] file:{root} {suite}\n" for suite in ("toy main universe", "toy-updates main"))
    use_sources(monkeypatch, tmp_path, "test.list", text)
    (tmp_path / "apt").mkdir()
    index = fetch(tmp_path / "apt", [].append, contents=True)
    assert [name.split("/")[0] for name, _ in index.contents] == ["main", "universe"]
    for name, file in index.contents:
        with open_index(file) as stream:
            assert stream.read() == f"usr/bin/tool x/{name.split('/')[0]}-p0\n".encode()


@needs_apt
def test_sources_that_do_not_answer_give_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_sources(monkeypatch, tmp_path, "test.list", f"deb [trusted=yes] file:{tmp_path / 'absent'} toy main\n")
    with pytest.raises(NoIndex, match="no package index: [EW]:") as caught:
        prepare("debian", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@needs_apt
def test_no_sources_or_a_vendor_only_give_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(tmp_path / "repository", "vendor", packages=40)
    text = f"deb [trusted=yes] file:{tmp_path / 'repository'} vendor main\n"
    use_sources(monkeypatch, tmp_path, "test.list", text)
    with pytest.raises(NoIndex, match="no release with main or universe|no package index"):
        prepare("debian", tmp_path / "out")


def test_no_apt_gives_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoIndex, match="apt-get is not on PATH"):
        prepare("debian", tmp_path / "out")
    assert not (tmp_path / "out").exists()
