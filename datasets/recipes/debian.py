"""Related packages: given a package's name and description, which packages does it recommend, suggest or enhance?

Built from the package index of the machine's own apt sources. The rules are in ``datasets/README.md``.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zlib
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ramen.data.recipes.apt_index import Index, fetch
from ramen.data.recipes.build import PROPENSITY_SOURCE, assemble, graphs
from ramen.data.recipes.deb822 import read_index, related, stanzas, synopsis_and_text

from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.data.write import write_dataset
from ramen.errors import InputError

Pairs = set[tuple[str, str]]
Translations = dict[tuple[str, str], str]

_FOLDS = 5


@dataclass(frozen=True)
class Package:
    """What one stanza of the index says, with names of packages that are not in the index left out.

    Attributes:
        source: name of the source package.
        targets: packages that it recommends, suggests or enhances.
        depends: packages that it depends on, or pre-depends on.
    """

    name: str
    source: str
    section: str
    maintainer: str
    synopsis: str
    text: str
    tags: frozenset[str]
    targets: frozenset[str]
    depends: frozenset[str]

    @property
    def title(self) -> str:
        """``name - synopsis``."""
        return f"{self.name} - {self.synopsis}" if self.synopsis else self.name

    @property
    def held_out(self) -> bool:
        """Whether it is in the tested fifth: whole source packages, so that siblings stay on one side."""
        return zlib.crc32(self.source.encode()) % _FOLDS == 0


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
    known, source = read_release("debian", packages, translation, report)
    report(f"link {len(known)} packages")
    dataset = build(out, known)
    report(f"write {len(dataset.train)} training points, {len(dataset.test)} test points, {dataset.n_labels} labels")
    write_dataset(dataset, out, extra={"SOURCE.txt": source})


def read_release(
    recipe: str, packages: str, translation: str, report: Callable[[str], None]
) -> tuple[dict[str, Package], str]:
    """Return the packages of a release by name, and the text of ``SOURCE.txt``.

    Args:
        recipe: its name, for ``SOURCE.txt``.
        packages: Packages files, separated by commas; "" fetches the index of this machine's apt sources.
        translation: Translation-en files, separated by commas.
        report: called with one line per step.

    Raises:
        InputError: a given file is missing or malformed, or ``translation`` is given without ``packages``.
        NoIndex: this machine gives no package index.
    """
    if translation and not packages:
        raise InputError("option translation: found without option packages, expected both or none")
    with tempfile.TemporaryDirectory(prefix="ramen-apt-") as folder:
        index = _given(packages, translation) if packages else fetch(Path(folder), report)
        report("read the package index")
        contents = [(name, read_index(file)) for name, file in index.packages]
        texts = read_translations(index.translations)
    return read_packages(contents, texts), _source(recipe, index, contents)


def read_packages(contents: Iterable[tuple[str, bytes]], translations: Translations) -> dict[str, Package]:
    """The packages of uncompressed index files, by name, in order of name.

    Args:
        contents: (name for errors, bytes) of each Packages file; the first stanza of a name counts.
        translations: (package, Description-md5) -> description, for indices that carry the synopsis only.

    Raises:
        InputError: a malformed file, or a stanza without a name.
    """
    records: dict[str, dict[str, str]] = {}
    for where, data in contents:
        for fields in stanzas(data, where):
            if "Package" not in fields:
                raise InputError(f"{where}: found a stanza without Package, expected one: {str(fields)[:60]}")
            records.setdefault(fields["Package"], fields)
    return {name: _package(name, records[name], records.keys(), translations) for name in sorted(records)}


def _package(name: str, fields: dict[str, str], known: Container[str], translations: Translations) -> Package:
    short = fields.get("Description", fields.get("Description-en", ""))
    synopsis, text = synopsis_and_text(short)
    if not text:
        text = synopsis_and_text(translations.get((name, fields.get("Description-md5", "")), ""))[1]
    names = {
        kind: frozenset(b for field in kinds for b in related(fields.get(field, "")) if b in known) - {name}
        for kind, kinds in {
            "targets": ("Recommends", "Suggests", "Enhances"),
            "depends": ("Depends", "Pre-Depends"),
        }.items()
    }
    tags = (tag.strip() for tag in fields.get("Tag", "").split(","))
    return Package(
        name=name,
        source=fields.get("Source", name).split()[0],
        section=fields.get("Section", "").rpartition("/")[2],
        maintainer=re.sub(r"\s*<.*", "", fields.get("Maintainer", ""), flags=re.DOTALL).strip().strip('"'),
        synopsis=synopsis,
        text=text,
        tags=frozenset(tag for tag in tags if tag and not tag.endswith("::TODO")),
        targets=names["targets"],
        depends=names["depends"],
    )


def build(out: Path, known: dict[str, Package]) -> Dataset:
    """Split the packages, keep what can be learnt, and link the graphs.

    Raises:
        InputError: no training or no test pair remains.
    """
    pairs: Pairs = {(p.name, target) for p in known.values() for target in p.targets}
    train = {pair for pair in pairs if not known[pair[0]].held_out}
    labels = {label for _, label in train}
    # b -> a in training gives away a -> b in test: such a pair is neither right nor wrong.
    given_away = {(b, a) for a, b in train}
    test = {pair for pair in pairs - train if pair[1] in labels} - given_away
    card = Card(
        name="debian",
        A=0.55,
        B=1.5,
        source=PROPENSITY_SOURCE,
        title="Related packages of a Debian or Ubuntu release",
        licence="of each package; see SOURCE.txt",
        origin="the package index of a Debian or Ubuntu release, which SOURCE.txt names",
    )
    return assemble(out, train, test, partial(_texts, known=known), partial(_graphs, known=known), card, given_away)


def _texts(names: list[str], known: dict[str, Package]) -> Texts:
    return Texts(names, [known[name].title for name in names], [known[name].text for name in names])


def _graphs(points: list[str], labels: list[str], known: dict[str, Package]) -> dict[str, Graph]:
    """One graph per kind of metadata."""
    # A held-out package that may be asked about must not be reachable, not even as an anchor.
    asked = {p.name for p in known.values() if p.held_out and p.targets}
    anchors_of: dict[str, Callable[[str], Iterable[str]]] = {
        "depends": lambda name: known[name].depends - asked,
        "debtags": lambda name: known[name].tags,
        "source": lambda name: [known[name].source],
        "maintainer": lambda name: filter(None, [known[name].maintainer]),
        "section": lambda name: filter(None, [known[name].section]),
    }
    wording: dict[str, Callable[[str], str]] = {
        "depends": lambda name: known[name].title,
        "debtags": lambda tag: re.sub("[:-]+", " ", tag),
    }
    return graphs(points, labels, anchors_of, wording)


def _given(packages: str, translation: str) -> Index:
    return Index(
        packages=[(Path(name).name, Path(name)) for name in packages.split(",")],
        translations=[Path(name) for name in translation.split(",") if name],
        suite="given files",
        date="unknown",
    )


def read_translations(files: list[Path]) -> Translations:
    """Descriptions of Translation files, by package and Description-md5.

    Raises:
        InputError: a malformed file, or a stanza without them.
    """
    found: Translations = {}
    for file in files:
        for fields in stanzas(read_index(file), file.name):
            if not {"Package", "Description-md5"} <= fields.keys():
                raise InputError(f"{file}: found a stanza without Package and Description-md5: {str(fields)[:60]}")
            found[fields["Package"], fields["Description-md5"]] = fields.get("Description-en", "")
    return found


def _source(recipe: str, index: Index, contents: list[tuple[str, bytes]]) -> str:
    lines = [
        f"suite    {index.suite}",
        f"date     {index.date}",
        *(f"sha256   {hashlib.sha256(data).hexdigest()} {name} (uncompressed)" for name, data in contents),
        "licence  Descriptions and debtags come with the archive; a description carries its package's licence.",
        "         Names and relations are facts.",
        f"recipe   ramen data prepare {recipe}",
    ]
    return "\n".join(lines) + "\n"
