"""Files of packages: given a package's name and description, which files does it ship? A million real labels.

Built from the package index and the indices of files (``Contents``) of the machine's own apt sources. The rules are in
``datasets/README.md``.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from ramen.data.recipes.apt_index import Index, fetch
from ramen.data.recipes.build import PROPENSITY_SOURCE
from ramen.data.recipes.deb822 import open_index, read_index
from ramen.data.recipes.debian import Package, read_packages, read_translations

from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.data.prepare import NoIndex
from ramen.data.write import write_dataset
from ramen.errors import InputError

_FOLDS = 6
_FREQUENT = 0.01  # a label of more points than this share, such as "copyright", says nothing about a package
_FREQUENT_LEAST = 5  # points: in a small version the share alone would drop every label
_PROGRESS = 2_000_000  # lines between two reports
_WORD = re.compile(r"[^\W_]+")


def prepare(
    out: Path,
    *,
    report: Callable[[str], None],
    packages: str = "",
    translation: str = "",
    contents: str = "",
    points: int = 0,
    labels: int = 1_000_000,
    per_point: int = 200,
    seed: int = 0,
) -> None:
    """Write the data set.

    Args:
        out: new folder.
        report: called with one line per step.
        packages: Packages files, separated by commas; "" fetches the indices of this machine's apt sources.
        translation: Translation-en files with the extended descriptions, separated by commas.
        contents: Contents files, separated by commas.
        points: about how many packages to take, in whole sources; 0 takes all.
        labels: the most labels.
        per_point: the most labels of a training point.
        seed: of the choice among packages and among labels.

    Raises:
        InputError: a file is missing or malformed, an option is negative, or no training or no test pair remains.
        NoIndex: this machine gives no package index, or none of files.
    """
    for name, value, least in (("points", points, 0), ("labels", labels, 1), ("per_point", per_point, 1)):
        if value < least:
            raise InputError(f"recipe 'debian-files', option {name!r}: found {value}, expected at least {least}")
    if bool(packages) != bool(contents) or (translation and not packages):
        raise InputError("options packages, translation, contents: expected packages and contents, or none of them")
    with tempfile.TemporaryDirectory(prefix="ramen-apt-") as folder:
        if packages:
            index = Index(_named(packages), [f for _, f in _named(translation)], "given files", "unknown")
            index.contents.extend(_named(contents))
        else:
            index = fetch(Path(folder), report, contents=True)
        if not index.contents:
            raise NoIndex("no index of files: the sources of apt list no Contents")
        report("read the package index")
        files = [(name, read_index(file)) for name, file in index.packages]
        known = read_packages(files, read_translations(index.translations))
        chosen = choose_packages(known, points, seed)
        shipped = Shipped([known[name] for name in chosen], seed, report)
        shipped.count(index.contents)
        shipped.choose(per_point, labels)
        shipped.describe(index.contents)
    dataset = shipped.dataset(out)
    report(f"write {len(dataset.train)} training points, {len(dataset.test)} test points, {dataset.n_labels} labels")
    shipped.sums.update((name, hashlib.sha256(data).hexdigest()) for name, data in files)
    options = f"points={points}, labels={labels}, per_point={per_point}, seed={seed}"
    write_dataset(dataset, out, extra={"SOURCE.txt": _source(index, shipped, options)})


def _named(files: str) -> list[tuple[str, Path]]:
    return [(Path(name).name, Path(name)) for name in files.split(",") if name]


def family(source: str) -> str:
    """The name of a source package without digits and dots: releases kept side by side are one family.

    Example:
        >>> family("gcc-11-cross") == family("gcc-12-cross") == "gcc--cross"
        True
    """
    return re.sub(r"[0-9.]+", "", source)


def choose_packages(known: dict[str, Package], points: int, seed: int) -> list[str]:
    """Names of all packages, or of whole families, drawn by the seed, until they are ``points``; sorted."""
    if points == 0 or points >= len(known):
        return sorted(known)
    number = _numbering(seed)
    by_family: dict[str, list[str]] = {}
    for name, package in known.items():
        by_family.setdefault(family(package.source), []).append(name)
    chosen: list[str] = []
    for _, names in sorted(by_family.items(), key=lambda item: number(item[0].encode())):
        if len(chosen) >= points:
            break
        chosen += names
    return sorted(chosen)


def _numbering(seed: int) -> Callable[[bytes], int]:
    """A function from bytes to 64 bits, another one for each seed: it identifies a name and draws its place."""
    key = str(seed).encode()
    return lambda name: int.from_bytes(hashlib.blake2b(name, digest_size=8, key=key).digest(), "little")


@dataclass
class Shipped:
    """Which package ships which file name, as numbers: the names themselves would not fit in memory twice.

    Attributes:
        packages: the points, training and test, sorted by name.
        seed: of the numbers of names.
        report: called with one line per step.
        held_out: bool (N,), the packages of test families.
        names: uint64 (L,), the number of each chosen label, sorted.
        pairs: int64 (P, 2), (package, label) of training and test.
        neither: int64 (F, 2), over the same labels: pairs beyond the cap, and files named like their package.
        sums: SHA-256 of each index read, uncompressed.
        told: what was dropped, a line each.
    """

    packages: list[Package]
    seed: int
    report: Callable[[str], None]
    sums: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._row = {package.name.encode(): row for row, package in enumerate(self.packages)}
        self._number = _numbering(self.seed)
        self.held_out = np.array(
            [zlib.crc32(family(p.source).encode()) % _FOLDS == 0 for p in self.packages], dtype=bool
        )

    def count(self, contents: list[tuple[str, Path]]) -> None:
        """Read every (package, file name) pair, and drop the frequent names."""
        names, owners = array("Q"), array("i")
        for name, file in contents:
            sha = hashlib.sha256()
            for path, rows in self._lines(name, file, sha.update):
                number = self._number(path.rpartition(b"/")[2])
                for row in rows:
                    names.append(number)
                    owners.append(row)
            self.sums[name] = sha.hexdigest()
        self.names, label = np.unique(np.frombuffer(names, np.uint64), return_inverse=True)
        point = np.frombuffer(owners, np.int32).astype(np.int64)
        distinct = np.unique(point * len(self.names) + label.ravel())
        self.pairs = np.stack(np.divmod(distinct, max(len(self.names), 1)), axis=1)
        self._tell("file names and packages: all", self.pairs)
        own = np.array([self._number(package.name.encode()) for package in self.packages], dtype=np.uint64)
        is_own = own[self.pairs[:, 0]] == self.names[self.pairs[:, 1]]
        self.told.append(f"filtered as named like their package: {int(is_own.sum())} pairs")
        self._own, self.pairs = self.pairs[is_own], self.pairs[~is_own]
        degree = np.bincount(self.pairs[:, 1], minlength=len(self.names))
        frequent = degree > max(_FREQUENT_LEAST, _FREQUENT * len(self.packages))
        self.told.append(f"dropped as names of more than 1 % of the packages: {int(frequent.sum())}")
        self.pairs = self.pairs[~frequent[self.pairs[:, 1]]]

    def choose(self, per_point: int, labels: int) -> None:
        """Choose the labels, and the pairs of training and test.

        Among names a training point keeps those of several training points first, and the lowest numbers of these.
        Numbers belong to names, so points that share many names keep the same ones.
        """
        is_test = self.held_out[self.pairs[:, 0]]
        train, test = self.pairs[~is_test], self.pairs[is_test]
        is_single = np.bincount(train[:, 1], minlength=len(self.names)) < 2
        # Labels are sorted by number, so their row is their place in the draw.
        train = train[np.lexsort((train[:, 1], is_single[train[:, 1]], train[:, 0]))]
        first = np.searchsorted(train[:, 0], train[:, 0])
        fits = np.arange(len(train)) - first < per_point
        kept, beyond = train[fits], train[~fits]
        self._tell(f"training, at most {per_point} labels a point", kept, train)
        degree = np.bincount(kept[:, 1], minlength=len(self.names))
        taught = np.flatnonzero(degree)
        chosen = np.sort(taught[np.lexsort((taught, degree[taught] < 2))][:labels])
        kept_all, kept = kept, kept[np.isin(kept[:, 1], chosen)]
        self._tell(f"training, at most {labels} labels", kept, kept_all)
        test_all, test = test, test[np.isin(test[:, 1], chosen)]
        self._tell("test, of labels with a training point", test, test_all)
        if not len(kept) or not len(test):
            found = f"{len(kept)} training and {len(test)} test pairs"
            raise InputError(f"debian-files: found {found}, expected some of each")
        self.pairs = np.concatenate([kept, test])
        self.pairs[:, 1] = np.searchsorted(chosen, self.pairs[:, 1])
        # What a point ships beyond its cap is no target, and must not be taught as wrong either.
        neither = np.concatenate([beyond, self._own])
        self.neither = neither[np.isin(neither[:, 1], chosen) & np.isin(neither[:, 0], self.pairs[:, 0])]
        self._tell("filtered, beyond the cap or named like the package", self.neither)
        self.neither[:, 1] = np.searchsorted(chosen, self.neither[:, 1])
        self.names = self.names[chosen]

    def describe(self, contents: list[tuple[str, Path]]) -> None:
        """Read again: the names of the labels, and the directories where training points ship them."""
        label_of = {number: label for label, number in enumerate(self.names.tolist())}
        wanted = np.zeros(len(self.packages), dtype=bool)
        wanted[self.pairs[:, 0]] = True
        is_train = (wanted & ~self.held_out).tolist()
        self._titles, self._contents = [b""] * len(label_of), [""] * len(label_of)
        self._folders: dict[bytes, int] = {}
        found = array("q")
        for name, file in contents:
            for path, rows in self._lines(name, file):
                folder, _, title = path.rpartition(b"/")
                label = label_of.get(self._number(title))
                rows = [row for row in rows if is_train[row]]
                if label is None or not rows:
                    continue
                if not self._titles[label]:
                    self._titles[label] = title
                    self._contents[label] = _words(folder, self.packages[rows[0]])
                at = self._folders.setdefault(folder, len(self._folders))
                for row in rows:
                    found.extend((row, label, at))
        self._links = np.frombuffer(found, np.int64).reshape(-1, 3)

    def _lines(self, name: str, file: Path, see: Callable[[bytes], object] = len) -> Iterator[tuple[bytes, list[int]]]:
        """Path and packages of each line of an index, where it names any of ours."""
        row_of = self._row
        with open_index(file) as stream:
            for count, line in enumerate(stream, start=1):
                see(line)
                if count % _PROGRESS == 0:
                    self.report(f"{name}: {count // 1_000_000} million files")
                path, _, where = line.rstrip().rpartition(b" ")
                rows = [row_of[at] for part in where.split(b",") if (at := part.rpartition(b"/")[2]) in row_of]
                if rows and _is_text(path):
                    yield path.rstrip(), rows

    def dataset(self, out: Path) -> Dataset:
        """The data set, points and labels sorted by name."""
        order = np.array(sorted(range(len(self._titles)), key=self._titles.__getitem__), dtype=np.int64)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        labels = [self._titles[label].decode() for label in order.tolist()]
        is_test = self.held_out[self.pairs[:, 0]]
        parts = []
        for pairs in (self.pairs[~is_test], self.pairs[is_test]):
            rows = np.unique(pairs[:, 0])
            at = np.stack([np.searchsorted(rows, pairs[:, 0]), place[pairs[:, 1]]], axis=1)
            chosen = [self.packages[row] for row in rows.tolist()]
            texts = Texts([p.name for p in chosen], [p.title for p in chosen], [p.text for p in chosen])
            parts.append((texts, _ones(at, (len(rows), len(labels))), rows))
        (train, train_targets, train_rows), (test, test_targets, test_rows) = parts
        return Dataset(
            path=out,
            train=train,
            test=test,
            labels=Texts(labels, labels, [self._contents[label] for label in order.tolist()]),
            train_targets=train_targets,
            test_targets=test_targets,
            graphs=self._graphs(train_rows, place),
            train_filter=self._filter(train_rows, place),
            test_filter=self._filter(test_rows, place),
            card=Card(
                name="debian-files",
                A=0.55,
                B=1.5,
                source=PROPENSITY_SOURCE,
                title="Files of the packages of a Debian release",
                licence="descriptions as their packages, see SOURCE.txt; names of files are facts",
                origin="the package index and the indices of files of a Debian release, which SOURCE.txt names",
            ),
        )

    def _filter(self, rows: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The pairs of some points that are neither right nor wrong, as positions in order."""
        neither = self.neither[np.isin(self.neither[:, 0], rows)]
        at = np.stack([np.searchsorted(rows, neither[:, 0]), place[neither[:, 1]]], axis=1)
        return at[np.lexsort((at[:, 1], at[:, 0]))]

    def _graphs(self, train_rows: np.ndarray, place: np.ndarray) -> dict[str, Graph]:
        """Directories of two and more training points, linked to those points and to the labels they ship there."""
        links = self._links
        point_links = np.unique(links[:, [0, 2]], axis=0)
        shared = np.bincount(point_links[:, 1], minlength=len(self._folders)) >= 2
        paths = list(self._folders)
        anchors = sorted(np.flatnonzero(shared).tolist(), key=paths.__getitem__)
        if not anchors:
            return {}
        column = np.full(len(paths), -1, dtype=np.int64)
        column[anchors] = np.arange(len(anchors))
        point_links = point_links[shared[point_links[:, 1]]]
        label_links = np.unique(links[shared[links[:, 2]]][:, 1:], axis=0)
        points = np.stack([np.searchsorted(train_rows, point_links[:, 0]), column[point_links[:, 1]]], axis=1)
        labels = np.stack([place[label_links[:, 0]], column[label_links[:, 1]]], axis=1)
        return {
            "directory": Graph(
                kind="directory",
                anchors=[" ".join(_WORD.findall(paths[at].decode())) or "root" for at in anchors],
                points=_ones(points, (len(train_rows), len(anchors))),
                labels=_ones(labels, (len(place), len(anchors))),
            )
        }

    def _tell(self, what: str, kept: np.ndarray, of: np.ndarray | None = None) -> None:
        figures = [
            f"{len(pairs)} pairs, {len(np.unique(pairs[:, 1]))} labels" for pairs in (kept, of) if pairs is not None
        ]
        self.told.append(f"{what}: {' of '.join(figures)}")
        self.report(self.told[-1])


def _is_text(path: bytes) -> bool:
    """Whether a path is UTF-8 of printable characters, as a text of a data set must be."""
    if path.isascii():
        return path.decode().isprintable()
    try:
        return path.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _words(folder: bytes, package: Package) -> str:
    """The words of a directory, without those of its package's name, which would tell the training point."""
    own = {word.lower() for word in _WORD.findall(f"{package.name} {package.source}")}
    return " ".join(word for word in _WORD.findall(folder.decode()) if word.lower() not in own)


def _ones(pairs: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    ones = np.ones(len(pairs), dtype=np.float32)
    matrix = sp.csr_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=shape, dtype=np.float32)
    matrix.sort_indices()
    return matrix


def _source(index: Index, shipped: Shipped, options: str) -> str:
    lines = [
        f"suite    {index.suite}",
        f"date     {index.date}",
        *(f"sha256   {digest} {name} (uncompressed)" for name, digest in sorted(shipped.sums.items())),
        "licence  A description carries its package's licence. Names of packages and files are facts.",
        f"recipe   ramen data prepare debian-files ({options})",
        *(f"count    {line}" for line in shipped.told),
    ]
    return "\n".join(lines) + "\n"
