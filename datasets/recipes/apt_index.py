"""Fetch the package index of this machine's own sources, without root and without touching the machine's state."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ramen.data.recipes.deb822 import read_index, stanzas

from ramen.data.prepare import NoIndex

_POCKET = re.compile(r"-(security|updates|backports|proposed)")
_COMPONENTS = ("main", "universe")
_FEWEST = 1000  # packages; a base release has tens of thousands, a vendor's own repository a few
_SECONDS = 180  # an index of sixty thousand packages takes some ten seconds on a usual line

# Read after the machine's own configuration (apt-get -c). The hooks and the further index kinds (sources, icons, file
# lists) that the machine may have set up are cleared; its sources, keys and proxies stay.
_CONFIG = """\
Dir::State "{folder}/state";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
APT::Sandbox::User "root";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::Languages;
Acquire::Languages "en";
Acquire::GzipIndexes "false";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
#clear Acquire::IndexTargets;
Acquire::IndexTargets::deb {{
  Packages {{
    MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages"; flatMetaKey "Packages"; ShortDescription "Packages";
    Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages"; flatDescription "$(RELEASE) Packages";
    Optional "false";
  }};
  Translations {{
    MetaKey "$(COMPONENT)/i18n/Translation-$(LANGUAGE)"; flatMetaKey "$(LANGUAGE)";
    ShortDescription "Translation-$(LANGUAGE)"; Description "$(RELEASE)/$(COMPONENT) Translation-$(LANGUAGE)";
    flatDescription "$(RELEASE) Translation-$(LANGUAGE)";
  }};{contents}
}};
"""

# The files of every package, for each architecture and for "all"; left compressed, as a release has more than 500 MB.
_CONTENTS = """
  Contents {
    MetaKey "$(COMPONENT)/Contents-$(ARCHITECTURE)"; ShortDescription "Contents-$(ARCHITECTURE)";
    Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Contents"; KeepCompressed "true";
  };"""


@dataclass(frozen=True)
class Index:
    """Index files of one release.

    Attributes:
        packages: (name to print, file), one per component.
        translations: files with the extended descriptions; may be empty.
        suite: code name of the release.
        date: of the release file.
        contents: (name to print, file) of the indices of files, if they were asked for.
    """

    packages: list[tuple[str, Path]]
    translations: list[Path]
    suite: str
    date: str
    contents: list[tuple[str, Path]] = field(default_factory=list)


@dataclass(frozen=True)
class _Target:
    kind: str
    site: str
    release: str
    architecture: str
    component: str
    codename: str
    meta_key: str
    path: str

    @property
    def file(self) -> Path:
        return Path(self.path)


def fetch(folder: Path, report: Callable[[str], None], contents: bool = False) -> Index:
    """Run ``apt-get update`` into ``folder`` and choose the base release.

    The base release is the one with the most packages in the components main and universe; security, updates and
    backports are never taken, so that a day's updates do not change the data set.

    Args:
        folder: an empty folder.
        report: called with one line per step.
        contents: fetch the indices of files, too.

    Raises:
        NoIndex: no apt-get, no source that answers, or no index of a whole release among them.
    """
    apt = shutil.which("apt-get")
    if apt is None:
        raise NoIndex("no package index: apt-get is not on PATH")
    for name in ("state", "lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    config = folder / "apt.conf"
    config.write_text(_CONFIG.format(folder=folder, contents=_CONTENTS if contents else ""), encoding="utf-8")
    report("fetch the package index of this machine's apt sources")
    said = _run([apt, "-c", str(config), "-q", "update"])
    errors = [line for line in said.stderr.splitlines() if line.startswith(("E:", "W:"))]
    for line in errors:
        report(line)
    targets = _targets([apt, "-c", str(config), "indextargets"])
    releases: dict[tuple[str, str, str], list[_Target]] = {}
    for target in targets:
        if target.kind == "Packages":
            releases.setdefault((target.site, target.release, target.architecture), []).append(target)
    counts = {key: sum(_count(target.file) for target in chosen) for key, chosen in releases.items()}
    # Ties cannot be told apart by size; the names make the choice the same every time.
    best = max(sorted(counts), key=lambda key: counts[key], default=None)
    if best is None or counts[best] < _FEWEST:
        why = errors[0] if errors else "the sources of apt list no release with main or universe"
        raise NoIndex(f"no package index: {why}")
    chosen = sorted(releases[best], key=lambda target: target.meta_key)
    same = [target for target in targets if (target.site, target.release) == best[:2]]
    report(f"{chosen[0].codename}: {counts[best]} packages")
    return Index(
        packages=[(target.meta_key, target.file) for target in chosen],
        translations=[target.file for target in same if target.kind == "Translations"],
        suite=chosen[0].codename,
        date=_release_date(chosen[0]),
        contents=sorted((target.meta_key, target.file) for target in same if target.kind == "Contents"),
    )


def _targets(command: list[str]) -> list[_Target]:
    """The fetched files of base releases, in the components main and universe."""
    names = ["IDENTIFIER", "SITE", "RELEASE", "ARCHITECTURE", "COMPONENT", "CODENAME", "METAKEY", "FILENAME"]
    listing = _run([*command, "--format", "\t".join(f"$({name})" for name in names)]).stdout
    targets = [_Target(*fields) for line in listing.splitlines() if len(fields := line.split("\t")) == len(names)]
    return [t for t in targets if t.file.is_file() and t.component in _COMPONENTS and not _POCKET.search(t.release)]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise NoIndex(f"no package index: apt-get gave no answer in {_SECONDS} seconds") from None
    except OSError as error:
        raise NoIndex(f"no package index: apt-get cannot run ({error.strerror})") from None


def _count(file: Path) -> int:
    data = read_index(file)
    return data.count(b"\nPackage: ") + data.startswith(b"Package: ")


def _release_date(target: _Target) -> str:
    """The Date field of the release file that lies beside the index."""
    prefix, _, _ = target.file.name.rpartition("_" + target.meta_key.replace("/", "_"))
    for name in ("InRelease", "Release"):
        file = target.file.with_name(f"{prefix}_{name}")
        if file.is_file():
            for fields in stanzas(_unsigned(file.read_bytes()), file.name):
                if "Date" in fields:
                    return fields["Date"]
    return "unknown"


def _unsigned(data: bytes) -> bytes:
    """The signed text of a clear-signed file, or the whole of a plain one."""
    _, marker, rest = data.partition(b"-----BEGIN PGP SIGNED MESSAGE-----\n")
    return rest.partition(b"\n-----BEGIN PGP SIGNATURE-----")[0] if marker else data
