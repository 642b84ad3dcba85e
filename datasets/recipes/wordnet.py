"""Related synsets: given the words and the gloss of a synset, which synsets does it point to?

Built from the database files of Debian's package ``wordnet-base``. The rules are in ``datasets/README.md``.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from ramen.data.recipes.build import PROPENSITY_SOURCE, assemble, graphs
from ramen.data.recipes.wndb import Synset, licence, read_files, read_synsets, unpack

from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.data.write import write_dataset

INSTALLED = Path("/usr/share/wordnet")
"""Where the package ``wordnet-base`` puts the database files."""

# Hypernym and hyponym, also of instances; member, substance and part of, and their inverses; similar, also see,
# entails, causes, verb group, attribute.
_RELATIONS = frozenset("@ @i ~ ~i #m #s #p %m %s %p & ^ * > $ =".split())
_DERIVATION = frozenset("+ !".split())  # derived from a word of, opposite of
_DOMAIN = frozenset(";c ;r ;u".split())  # of a topic, of a region, of a usage
_FOLDS = 6


def prepare(out: Path, *, report: Callable[[str], None], files: str = "") -> None:
    """Write the data set.

    Args:
        out: new folder.
        report: called with one line per step.
        files: folder with data.noun, data.verb, data.adj and data.adv, or a .deb of wordnet-base; "" takes what is
            installed.

    Raises:
        InputError: a file is missing or malformed, or the files give no training or no test pair.
    """
    source = Path(files) if files else INSTALLED
    with tempfile.TemporaryDirectory(prefix="ramen-wordnet-") as folder:
        report(f"read the database files of {source}")
        contents = read_files(unpack(source, Path(folder)) if source.suffix == ".deb" else source)
    known = read_synsets(contents)
    report(f"link {len(known)} synsets")
    dataset = build(out, known)
    report(f"write {len(dataset.train)} training points, {len(dataset.test)} test points, {dataset.n_labels} labels")
    write_dataset(dataset, out, extra={"SOURCE.txt": _source(contents)})


def build(out: Path, known: dict[str, Synset]) -> Dataset:
    """Split the synsets, keep what can be learnt, and link the graphs.

    Raises:
        InputError: no training or no test pair remains.
    """
    pairs = {(uid, target) for uid in known for target in _targets(known[uid], _RELATIONS) if target != uid}
    asked = {uid for uid, _ in pairs if zlib.crc32(uid.encode()) % _FOLDS == 0}
    test = {pair for pair in pairs if pair[0] in asked}
    # Most relations have an inverse: b -> a in training would give away a -> b in test.
    train = pairs - test - {(b, a) for a, b in test}
    labels = {label for _, label in train}
    card = Card(
        name="wordnet",
        A=0.55,
        B=1.5,
        source=PROPENSITY_SOURCE,
        title="Related synsets of WordNet",
        licence="WordNet 3.0 licence, copyright 2006 Princeton University; see SOURCE.txt",
        origin="the database files of WordNet, by default those of Debian's package wordnet-base",
    )
    test = {pair for pair in test if pair[1] in labels}
    return assemble(out, train, test, partial(_texts, known=known), partial(_graphs, known=known, asked=asked), card)


def _targets(synset: Synset, symbols: frozenset[str]) -> list[str]:
    return [target for symbol, target in synset.pointers if symbol in symbols]


def _texts(uids: list[str], known: dict[str, Synset]) -> Texts:
    return Texts(uids, [known[uid].title for uid in uids], [known[uid].gloss for uid in uids])


def _graphs(points: list[str], labels: list[str], known: dict[str, Synset], asked: set[str]) -> dict[str, Graph]:
    """One graph per kind of metadata."""

    # A held-out synset that may be asked about must not be reachable, not even as an anchor.
    def open_targets(uid: str, symbols: frozenset[str]) -> list[str]:
        return [target for target in _targets(known[uid], symbols) if target not in asked]

    def title_and_gloss(uid: str) -> str:
        return f"{known[uid].title}; {known[uid].gloss}"

    anchors_of: dict[str, Callable[[str], Iterable[str]]] = {
        "derivation": lambda uid: open_targets(uid, _DERIVATION),
        "domain": lambda uid: open_targets(uid, _DOMAIN),
        "lemma": lambda uid: (word.lower() for word in known[uid].words),
        "lexname": lambda uid: [known[uid].lexname],
    }
    return graphs(points, labels, anchors_of, {"derivation": title_and_gloss, "domain": title_and_gloss})


def _source(contents: dict[str, bytes]) -> str:
    lines = [
        "origin   WordNet's database files",
        *(f"sha256   {hashlib.sha256(data).hexdigest()} {name}" for name, data in contents.items()),
        "recipe   ramen data prepare wordnet",
        "licence  as the files state it:",
        "",
        licence(contents["data.noun"]),
    ]
    return "\n".join(lines) + "\n"
