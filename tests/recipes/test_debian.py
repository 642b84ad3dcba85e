"""The debian recipe on a hand-written index; the real one against a reference where both are there."""

import gzip
import lzma
from pathlib import Path

import pytest
from ramen.data.recipes.debian import build, read_packages

from ramen.data import Dataset, load_card, load_dataset
from ramen.data.prepare import NoIndex, prepare
from ramen.errors import InputError

# Held out, by the CRC-32 of the source: date, nut and pear.
PACKAGES = """\
Package: pear
Section: universe/fruit
Maintainer: Grower <g@example.org>
Recommends: kiwi, apple
Description: green fruit
Description-md5: 05

Package: apple
Section: fruit
Maintainer: "A. Farmer" <a@example.org>
Depends: libgrape (>= 2) | absent, date, nut
Recommends: fig (>= 1.0), kiwi | lime:any | absent
Tag: role::eat-raw, suite::TODO,
 use::cook
Description: red fruit
Description-md5: 01

Package: date
Section: fruit
Suggests: lime, mango
Description: sweet fruit
Description-md5: 02

Package: fig
Section: fruit
Maintainer: Grower <g@example.org>
Pre-Depends: libgrape
Depends: nut
Suggests: apple
Description: soft fruit
Description-md5: 03

Package: fig-dev
Source: fig (2.0-1)
Section: devel
Enhances: fig
Description: soft fruit, to build with

Package: kiwi
Section: fruit
Recommends: pear
Description: hairy fruit
 Long text that
 the index itself gives.

Package: lime
Section: fruit
Description: sour fruit

Package: mango
Section: fruit
Recommends: mango, absent
Description: large fruit

Package: nut
Section: nuts
Description: hard fruit

Package: libgrape
Section: libs
Description: juice

Package: apple
Section: fruit
Recommends: mango
Description: an older apple
"""

TRANSLATION = """\
Package: apple
Description-md5: 01
Description-en: red fruit
 It grows
 on trees.
 .
 Everybody likes it.

Package: apple
Description-md5: 99
Description-en: an older apple
 Not this text.
"""


@pytest.fixture
def index(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "Packages.xz").write_bytes(lzma.compress(PACKAGES.encode()))
    (tmp_path / "Translation-en.gz").write_bytes(gzip.compress(TRANSLATION.encode()))
    return {"packages": str(tmp_path / "Packages.xz"), "translation": str(tmp_path / "Translation-en.gz")}


@pytest.fixture
def debian(index: dict[str, str], tmp_path: Path) -> Dataset:
    return load_dataset(prepare("debian", tmp_path / "set", **index))


def pairs(texts: list[str], targets, labels: list[str]) -> dict[str, list[str]]:
    return {uid: [labels[i] for i in targets[row].indices] for row, uid in enumerate(texts)}


def anchors(ds: Dataset, kind: str) -> dict[str, list[str]]:
    """Anchor -> the points it links, then the labels it links."""
    graph = ds.graphs[kind]
    found = {}
    for column, anchor in enumerate(graph.anchors):
        points = [ds.train.uids[i] for i in graph.points[:, column].nonzero()[0]]
        found[anchor] = points + [ds.labels.uids[i].upper() for i in graph.labels[:, column].nonzero()[0]]
    return found


def test_targets_name_real_packages_of_every_alternative(debian: Dataset) -> None:
    assert pairs(debian.train.uids, debian.train_targets, debian.labels.uids) == {
        "apple": ["fig", "kiwi", "lime"],
        "fig": ["apple"],
        "fig-dev": ["fig"],
        "kiwi": ["pear"],
    }
    assert debian.labels.uids == ["apple", "fig", "kiwi", "lime", "pear"]


def test_test_split_is_whole_sources_without_given_away_pairs(debian: Dataset) -> None:
    # pear -> kiwi is the reverse of a training pair; date -> mango has no training point.
    assert pairs(debian.test.uids, debian.test_targets, debian.labels.uids) == {"date": ["lime"], "pear": ["apple"]}


def test_filters_list_the_point_itself_and_the_reverse_pairs(debian: Dataset) -> None:
    uids = debian.labels.uids
    train = {(debian.train.uids[row], uids[label]) for row, label in debian.train_filter}
    assert train == {("apple", "apple"), ("fig", "fig"), ("kiwi", "kiwi")}
    test = {(debian.test.uids[row], uids[label]) for row, label in debian.test_filter}
    assert test == {("pear", "pear"), ("pear", "kiwi")}


def test_texts_come_from_the_translation_or_the_index(debian: Dataset) -> None:
    texts = dict(zip(debian.labels.uids, zip(debian.labels.titles, debian.labels.contents, strict=True), strict=True))
    assert texts["apple"] == ("apple - red fruit", "It grows on trees. Everybody likes it.")
    assert texts["kiwi"] == ("kiwi - hairy fruit", "Long text that the index itself gives.")
    assert texts["lime"] == ("lime - sour fruit", "")


def test_no_translation_leaves_the_synopsis(index: dict[str, str], tmp_path: Path) -> None:
    ds = load_dataset(prepare("debian", tmp_path / "set", packages=index["packages"]))
    assert ds.train.titles[0] == "apple - red fruit"
    assert ds.train.contents[0] == ""


def test_graphs_need_two_links_and_never_reach_a_test_point(debian: Dataset) -> None:
    assert anchors(debian, "depends") == {
        "libgrape - juice": ["apple", "fig", "APPLE", "FIG"],
        "nut - hard fruit": ["apple", "fig", "APPLE", "FIG"],  # held out, but with nothing to ask about
    }
    assert anchors(debian, "debtags") == {"role eat raw": ["apple", "APPLE"], "use cook": ["apple", "APPLE"]}
    assert anchors(debian, "source") == {
        "apple": ["apple", "APPLE"],
        "fig": ["fig", "fig-dev", "FIG"],
        "kiwi": ["kiwi", "KIWI"],
    }
    assert anchors(debian, "maintainer") == {"A. Farmer": ["apple", "APPLE"], "Grower": ["fig", "FIG", "PEAR"]}
    assert list(anchors(debian, "section")) == ["fruit"]


def test_same_index_gives_the_same_bytes_and_says_where_it_is_from(index: dict[str, str], tmp_path: Path) -> None:
    first, second = (prepare("debian", tmp_path / name, **index) for name in ("a", "b"))
    written = [
        {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (first, second)
    ]
    assert written[0] == written[1]
    source = written[0]["SOURCE.txt"].decode()
    assert "suite    given files" in source and "Packages.xz (uncompressed)" in source


def test_two_files_are_one_index(index: dict[str, str], tmp_path: Path) -> None:
    head, tail = PACKAGES.split("\n\nPackage: kiwi")
    (tmp_path / "main").write_text(head + "\n")
    (tmp_path / "universe").write_text("Package: kiwi" + tail)
    files = f"{tmp_path / 'main'},{tmp_path / 'universe'}"
    ds = load_dataset(prepare("debian", tmp_path / "set", packages=files, translation=index["translation"]))
    whole = load_dataset(prepare("debian", tmp_path / "whole", **index))
    assert (ds.train_targets != whole.train_targets).nnz == 0
    assert ds.train == whole.train


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Version: 1\n", "found a stanza without Package"),
        ("Package: apple\n", "found 0 training and 0 test pairs"),
    ],
)
def test_index_that_teaches_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "Packages").write_text(text)
    with pytest.raises(InputError, match=message):
        prepare("debian", tmp_path / "out", packages=tmp_path / "Packages")
    assert not (tmp_path / "out").exists()


def test_translation_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="option translation"):
        prepare("debian", tmp_path / "out", translation="Translation-en")


def test_graph_kind_without_anchors_is_left_out() -> None:
    text = b"Package: apple\nRecommends: fig\n\nPackage: fig\n\nPackage: pear\nSuggests: fig\n"
    assert build(Path("x"), read_packages([("x", text)], {})).graphs == {}


def test_card_written_is_the_card_shipped(debian: Dataset, tmp_path: Path) -> None:
    assert debian.card == load_card(tmp_path / "debian")


@pytest.mark.slow
def test_real_index_agrees_with_the_reference(tmp_path: Path, real_data) -> None:
    reference = load_dataset(real_data("LF-DebianRelated"))
    try:
        made = load_dataset(prepare("debian", tmp_path / "set"))
    except NoIndex as error:
        pytest.skip(str(error))
    if "suite    bookworm" not in (tmp_path / "set" / "SOURCE.txt").read_text():
        pytest.skip("this machine's index is of another release than the reference")
    for ours, theirs in (
        (len(made.train), len(reference.train)),
        (len(made.test), len(reference.test)),
        (made.n_labels, reference.n_labels),
        (made.train_targets.nnz, reference.train_targets.nnz),
        (made.test_targets.nnz, reference.test_targets.nnz),
        (len(made.test_filter), len(reference.test_filter)),
    ):
        assert ours == pytest.approx(theirs, rel=0.02)
    assert made.graphs.keys() == reference.graphs.keys()
    for kind, graph in made.graphs.items():
        theirs = reference.graphs[kind]
        assert len(graph.anchors) == pytest.approx(len(theirs.anchors), rel=0.02)
        assert graph.points.nnz == pytest.approx(theirs.points.nnz, rel=0.02)
        assert graph.labels.nnz == pytest.approx(theirs.labels.nnz, rel=0.02)
