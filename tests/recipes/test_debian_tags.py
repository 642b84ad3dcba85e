"""The debian-tags recipe on a small index; the real one where this machine has one."""

import gzip
from pathlib import Path

import pytest
from ramen.data.recipes.debian import read_packages
from ramen.data.recipes.debian_tags import tagged, words_of_tag

from ramen.data import Dataset, check, load_card, load_dataset
from ramen.data.prepare import NoIndex, prepare
from ramen.errors import InputError

# Package, source, tags, depends. Held out, by the CRC-32 of the source: date, nut, pear, and the library libnut.
PACKAGES = [
    ("apple", "apple", "role::program, use::cook", "libgrape, libnut, libfig, stove"),
    ("banana", "apple", "role::program, use::cook, devel::lang:TODO", "libgrape (>= 2) | absent, libnut, stove"),
    ("cherry", "cherry", "role::program, use::eat-raw", "libgrape, libfig, date"),
    ("date", "date", "role::program, use::cook, use::rare", "libgrape, libfig"),
    ("fig", "fig", "role::program, use::cook, use::eat-raw", "libnut, date"),
    ("kiwi", "fig", "role::program", "libgrape"),
    ("libgrape", "grape", "role::shared-lib, devel::library", "libnut, stove"),
    ("libnut", "nut", "role::shared-lib, devel::library", "stove, libgrape"),
    ("libfig", "fig", "role::shared-lib, devel::library", ""),
    ("libkiwi", "kiwi", "role::shared-lib, devel::library", "libgrape"),
    ("lime", "lime", "role::program, use::eat-raw", "stove"),
    ("nut", "nut", "role::program, use::rare", "stove"),
    ("pear", "pear", "use::rare, use::unheard", ""),
    ("stove", "stove", "", ""),
]


def stanza(name: str, source: str, tags: str, depends: str) -> str:
    section = "Section: libs\n" if name.startswith("lib") else "Section: fruit\n" if name != "pear" else ""
    fields = {"Source": source, "Tag": tags, "Depends": depends, "Maintainer": f"M. {source.title()} <m@example.org>"}
    written = "".join(f"{key}: {value}\n" for key, value in fields.items() if value)
    return f"Package: {name}\n{section}{written}Description: what {name} is\nDescription-md5: {name}\n"


TRANSLATION = "Package: libgrape\nDescription-md5: libgrape\nDescription-en: what libgrape is\n It makes\n juice.\n"


@pytest.fixture
def index(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "Packages").write_text("\n".join(stanza(*row) for row in PACKAGES))
    (tmp_path / "Translation-en.gz").write_bytes(gzip.compress(TRANSLATION.encode()))
    return {"packages": str(tmp_path / "Packages"), "translation": str(tmp_path / "Translation-en.gz")}


@pytest.fixture
def tags(index: dict[str, str], tmp_path: Path) -> Dataset:
    return load_dataset(prepare("debian-tags", tmp_path / "set", **index))


def answers(uids: list[str], targets, labels: list[str]) -> dict[str, list[str]]:
    return {uid: [labels[i] for i in targets[row].indices] for row, uid in enumerate(uids)}


def anchors(ds: Dataset, kind: str) -> dict[str, list[str]]:
    """Anchor -> the points it links, then the labels it links."""
    graph = ds.graphs[kind]
    linked = []
    for matrix, uids in ((graph.points, ds.train.uids), (graph.labels, ds.labels.uids)):
        found = sorted(zip(*matrix.nonzero(), strict=True)) if matrix is not None else []
        linked += [(graph.anchors[column], uids[row]) for row, column in found]
    return {anchor: [uid for at, uid in linked if at == anchor] for anchor in graph.anchors}


def test_labels_are_tags_sections_and_libraries_of_three_training_texts(tags: Dataset) -> None:
    assert tags.labels.uids == [
        "devel::library",
        "role::program",
        "role::shared-lib",
        "section::fruit",
        "section::libs",
        "use::cook",
        "use::eat-raw",
        "uses::libgrape",
        "uses::libnut",
    ]
    assert answers(tags.train.uids, tags.train_targets, tags.labels.uids)["banana"] == [
        "role::program",
        "section::fruit",
        "use::cook",
        "uses::libgrape",
        "uses::libnut",
    ]


def test_points_have_two_tags_and_test_is_whole_sources(tags: Dataset) -> None:
    assert tags.train.uids == ["apple", "banana", "cherry", "fig", "libfig", "libgrape", "libkiwi", "lime"]
    assert answers(tags.test.uids, tags.test_targets, tags.labels.uids) == {
        "date": ["role::program", "section::fruit", "use::cook", "uses::libgrape"],
        "libnut": ["devel::library", "role::shared-lib", "section::libs", "uses::libgrape"],
        "nut": ["role::program", "section::fruit"],
    }


def test_of_packages_with_one_description_the_first_is_taken() -> None:
    text = "".join(f"Package: {name}\nTag: a::b, c::d\nDescription: {name[0]}\n\n" for name in ("f2", "f1", "g1"))
    assert tagged(read_packages([("x", text.encode())], {})) == ["f1", "g1"]


def test_texts_of_labels_are_words_or_those_of_the_library(tags: Dataset) -> None:
    texts = dict(zip(tags.labels.uids, zip(tags.labels.titles, tags.labels.contents, strict=True), strict=True))
    assert texts["use::eat-raw"] == ("use: eat raw", "")
    assert texts["section::fruit"] == ("section: fruit", "")
    assert texts["uses::libgrape"] == ("libgrape - what libgrape is", "It makes juice.")
    assert words_of_tag("devel::lang:c++") == "devel: lang: c++"


def test_library_is_never_asked_whether_it_uses_itself(tags: Dataset) -> None:
    train = {(tags.train.uids[row], tags.labels.uids[label]) for row, label in tags.train_filter}
    test = {(tags.test.uids[row], tags.labels.uids[label]) for row, label in tags.test_filter}
    assert (train, test) == ({("libgrape", "uses::libgrape")}, {("libnut", "uses::libnut")})


def test_no_graph_gives_a_label_away(tags: Dataset) -> None:
    # Neither libgrape, a label, nor date, a test point; libfig uses nothing that has two links.
    assert anchors(tags, "depends") == {
        "libfig - what libfig is": ["apple", "cherry"],
        "stove - what stove is": ["apple", "banana", "libgrape", "lime", "uses::libgrape", "uses::libnut"],
    }
    assert tags.graphs.keys() == {"depends", "facet", "source", "maintainer"}
    assert anchors(tags, "facet") == {
        "role": ["role::program", "role::shared-lib"],
        "section": ["section::fruit", "section::libs"],
        "use": ["use::cook", "use::eat-raw"],
    }
    assert anchors(tags, "source")["grape"] == ["libgrape", "uses::libgrape"]
    assert "nut" not in anchors(tags, "source")  # the label alone: its siblings are tested
    assert anchors(tags, "maintainer")["M. Apple"] == ["apple", "banana"]


def test_tags_of_libraries_are_anchors_unless_they_are_tested(tmp_path: Path) -> None:
    more = [(name, name, "role::program, use::cook", "libkiwi") for name in ("lemon", "pea", "plum")]
    rows = [*PACKAGES, *more]
    (tmp_path / "Packages").write_text("\n".join(stanza(*row) for row in rows))
    ds = load_dataset(prepare("debian-tags", tmp_path / "set", packages=tmp_path / "Packages"))
    linked = ["uses::libgrape", "uses::libkiwi"]
    assert "uses::libnut" in ds.labels.uids
    assert anchors(ds, "debtags") == {"devel: library": linked, "role: shared lib": linked}
    assert ds.graphs["debtags"].points is None


def test_same_index_gives_the_same_bytes_and_says_where_it_is_from(index: dict[str, str], tmp_path: Path) -> None:
    first, second = (prepare("debian-tags", tmp_path / name, **index) for name in ("a", "b"))
    written = [
        {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (first, second)
    ]
    assert written[0] == written[1]
    source = written[0]["SOURCE.txt"].decode()
    assert "Packages (uncompressed)" in source and "recipe   ramen data prepare debian-tags\n" in source
    assert check(first).problems == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Version: 1\n", "found a stanza without Package"),
        ("Package: apple\nTag: a::b, c::d\n", "debian-tags: found 0 training and 0 test pairs"),
    ],
)
def test_index_that_teaches_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "Packages").write_text(text)
    with pytest.raises(InputError, match=message):
        prepare("debian-tags", tmp_path / "out", packages=tmp_path / "Packages")
    assert not (tmp_path / "out").exists()


def test_translation_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="option translation"):
        prepare("debian-tags", tmp_path / "out", translation="Translation-en")


def test_card_written_is_the_card_shipped(tags: Dataset, tmp_path: Path) -> None:
    (tmp_path / "debian-tags").mkdir()
    assert tags.card == load_card(tmp_path / "debian-tags")


@pytest.mark.slow
def test_real_index_gives_some_thousand_labels(tmp_path: Path) -> None:
    try:
        made = load_dataset(prepare("debian-tags", tmp_path / "set"))
    except NoIndex as error:
        pytest.skip(str(error))
    if "suite    bookworm" not in (tmp_path / "set" / "SOURCE.txt").read_text():
        pytest.skip("this machine's index is of another release than the figures")
    assert len(made.train) == pytest.approx(16_081, rel=0.02)
    assert len(made.test) == pytest.approx(3_864, rel=0.02)
    assert made.n_labels == pytest.approx(2_970, rel=0.02)
    assert made.train_targets.nnz / len(made.train) == pytest.approx(8.5, rel=0.02)
    assert made.graphs.keys() == {"debtags", "depends", "facet", "maintainer", "source"}
