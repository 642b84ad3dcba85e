"""Tags of packages: given a package's name and description, what are its debtags, its section and its libraries?

An ordinary multi-label set: few thousand labels, several of them for each text. Built from the package index of the
machine's own apt sources. The rules are in ``datasets/README.md``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from ramen.data.recipes.build import PROPENSITY_SOURCE, assemble, graphs
from ramen.data.recipes.debian import Package, Pairs, read_release

from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.data.write import write_dataset

_FEWEST_TAGS = 2  # a package with one tag, such as role::shared-lib, has hardly been tagged
_FEWEST_TEXTS = 3
_SECTION, _USES = "section::", "uses::"


def prepare(out: Path, *, report: Callable[[str], None], packages: str = "", translation: str = "") -> None:
    """Write the data set.

    Args:
        out: new folder.
        report: called with one line per step.
        packages: Packages files, separated by commas; "" fetches the index of this machine's apt sources.
        translation: Translation-en files with the extended descriptions, separated by commas.

    Raises:
        InputError: a given file is missing or malformed, or the index gives no training or no test pair.
        NoIndex: this machine gives no package index.
    """
    known, source = read_release("debian-tags", packages, translation, report)
    report(f"tag {len(known)} packages")
    dataset = build(out, known)
    report(f"write {len(dataset.train)} training points, {len(dataset.test)} test points, {dataset.n_labels} labels")
    write_dataset(dataset, out, extra={"SOURCE.txt": source})


def build(out: Path, known: dict[str, Package]) -> Dataset:
    """Choose the texts and the labels, split them, and link the graphs.

    Raises:
        InputError: no training or no test pair remains.
    """
    points = tagged(known)
    pairs: Pairs = {(name, label) for name in points for label in labels_of(known[name])}
    counts = Counter(label for name, label in pairs if not known[name].held_out)
    pairs = {(name, label) for name, label in pairs if counts[label] >= _FEWEST_TEXTS}
    test = {pair for pair in pairs if known[pair[0]].held_out}
    card = Card(
        name="debian-tags",
        A=0.55,
        B=1.5,
        source=PROPENSITY_SOURCE,
        title="Debtags, sections and libraries of the packages of a Debian release",
        licence="of each package; see SOURCE.txt",
        origin="the package index of a Debian or Ubuntu release, which SOURCE.txt names",
    )
    return assemble(
        out, pairs - test, test, partial(_texts, known=known), partial(_graphs, known=known), card, point_of=_library
    )


def tagged(known: dict[str, Package]) -> list[str]:
    """Names of the packages with two tags and more, in order; of those with the same description the first.

    Example:
        ``len(tagged(known))`` is about 20,000 for Debian bookworm.
    """
    first: dict[tuple[str, str], str] = {}
    for name, package in known.items():
        if len(package.tags) >= _FEWEST_TAGS:
            first.setdefault((package.synopsis, package.text), name)
    return list(first.values())


def labels_of(package: Package) -> set[str]:
    """Uids of its labels: debtags, ``section::NAME`` and ``uses::LIBRARY``.

    A library is a package whose name begins with ``lib``.

    Example:
        ``labels_of(known["mc"])`` has ``"use::browsing"``, ``"section::utils"`` and ``"uses::libslang2"``.
    """
    section = {_SECTION + package.section} if package.section else set()
    return section.union(package.tags, (_USES + name for name in package.depends if name.startswith("lib")))


def _library(label: str) -> str:
    """The name of the library that a label stands for; of other labels the uid, which no package has as its name."""
    return label.removeprefix(_USES)


def words_of_tag(tag: str) -> str:
    """The uid of a tag or section as words.

    Example:
        >>> words_of_tag("implemented-in::c"), words_of_tag("devel::lang:perl")
        ('implemented in: c', 'devel: lang: perl')
    """
    return re.sub(":+", ": ", tag).replace("-", " ")


def _texts(names: list[str], known: dict[str, Package]) -> Texts:
    """Texts of packages, and of labels: libraries have those of their packages."""
    packages = [known.get(_library(name)) for name in names]
    titles = [p.title if p else words_of_tag(name) for p, name in zip(packages, names, strict=True)]
    return Texts(names, titles, [p.text if p else "" for p in packages])


def _graphs(points: list[str], labels: list[str], known: dict[str, Package]) -> dict[str, Graph]:
    """One graph per kind of metadata; what is a label is no anchor of a point, nor is a package that is tested."""
    of_points, uids = set(points), set(labels)

    def depends(name: str) -> Iterable[str]:
        package = known.get(_library(name))
        other = package.depends if package else ()
        return (to for to in other if _USES + to not in uids and not known[to].held_out)

    def debtags(name: str) -> Iterable[str]:
        # Tags of a training point are its labels; those of a held-out library are answers, and its text is tested.
        package = None if name in of_points else known.get(_library(name))
        return package.tags if package and not package.held_out else ()

    def facet(name: str) -> Iterable[str]:
        return () if name in of_points or _library(name) in known else [name.partition("::")[0]]

    def source(name: str) -> Iterable[str]:
        return [known[_library(name)].source] if _library(name) in known else ()

    def maintainer(name: str) -> Iterable[str]:
        return filter(None, [known[_library(name)].maintainer]) if _library(name) in known else ()

    anchors_of: dict[str, Callable[[str], Iterable[str]]] = {
        "depends": depends,
        "debtags": debtags,
        "facet": facet,
        "source": source,
        "maintainer": maintainer,
    }
    wording: dict[str, Callable[[str], str]] = {
        "depends": lambda name: known[name].title,
        "debtags": words_of_tag,
        "facet": words_of_tag,
    }
    return graphs(points, labels, anchors_of, wording)
