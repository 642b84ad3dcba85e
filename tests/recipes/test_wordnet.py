"""The wordnet recipe on a few hand-written synsets; the real files against a reference where both are there."""

import shutil
import subprocess
from pathlib import Path

import pytest
from ramen.data.recipes import wordnet

from ramen.data import Dataset, load_card, load_dataset
from ramen.data.prepare import prepare
from ramen.errors import InputError

# Held out, by the CRC-32 of the uid: n00000400, n00000800, v00000500 and r00000300. The adverb points nowhere, so
# it may be an anchor.
NOUN = """\
  1 You may do what you like  
  2 with these lines.  
00000100 13 n 02 fruit 0 edible_fruit 0 005 ~ 00000200 n 0000 ~ 00000400 n 0000 ~ 00000800 n 0000 %p 00000300 n 0000 ~ \
00000100 n 0000 | what grows on a tree; "ripe  fruit"  
00000200 13 n 01 Apple 0 004 @ 00000100 n 0000 + 00000200 v 0101 + 00000400 n 0101 ;c 00000600 n 0000 | a red one  
00000300 20 n 02 pip 0 seed 1 002 #p 00000100 n 0000 ! 00000300 r 0101 | what is inside  
00000400 13 n 01 pear 0 002 @ 00000100 n 0000 ~ 00000800 n 0000 | a green one  
00000600 04 n 01 cookery 0 001 -c 00000200 n 0000 | work in a kitchen  
00000800 13 n 01 nashi 0 002 @ 00000100 n 0000 @ 00000400 n 0000 | a round pear  
"""
VERB = """\
00000200 35 v 01 pick 0 003 * 00000300 v 0000 > 00000500 v 0000 + 00000200 n 0101 01 + 08 00 | take off a tree  
00000300 35 v 02 reach 0 pip 0 000 02 + 02 00 + 08 00 | stretch out a hand  
00000500 35 v 01 fall 0 001 @ 00000300 v 0000 01 + 01 00 | come down  
"""
ADJ = """\
00000100 00 a 01 ripe(p) 0 001 & 00000200 a 0000 | ready to eat  
00000200 00 s 0b mellow(a) 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 well_(done) 0 001 & 00000100 a 0000 | soft  
"""
ADV = "00000300 02 r 01 outside 0 000 | not in it  \n"


def short(uid: str) -> str:
    """The uid without its zeros at the left."""
    return uid[0] + uid[1:].lstrip("0")


def pairs(texts, targets, labels) -> dict[str, list[str]]:
    return {short(uid): [short(labels.uids[i]) for i in targets[row].indices] for row, uid in enumerate(texts.uids)}


def anchors(ds: Dataset, kind: str) -> dict[str, list[str]]:
    """Anchor -> the points it links, then the labels it links, in upper case."""
    graph = ds.graphs[kind]
    found = {}
    for column, anchor in enumerate(graph.anchors):
        points = [short(ds.train.uids[i]) for i in graph.points[:, column].nonzero()[0]]
        found[anchor] = points + [short(ds.labels.uids[i]).upper() for i in graph.labels[:, column].nonzero()[0]]
    return found


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, text in {"noun": NOUN, "verb": VERB, "adj": ADJ, "adv": ADV}.items():
        (folder / f"data.{name}").write_text(text)
    return folder


@pytest.fixture
def made(files: Path, tmp_path: Path) -> Dataset:
    return load_dataset(prepare("wordnet", tmp_path / "set", files=files))


def test_targets_are_the_synsets_pointed_to_without_reversed_test_pairs(made: Dataset) -> None:
    # fruit -> pear and fruit -> nashi are the reverse of test pairs; fruit -> fruit is no pair.
    assert pairs(made.train, made.train_targets, made.labels) == {
        "a100": ["a200"],
        "a200": ["a100"],
        "n100": ["n200", "n300"],
        "n200": ["n100"],
        "n300": ["n100"],
        "v200": ["v300", "v500"],
    }
    # pear -> nashi and nashi -> pear have no training point.
    held = {"n400": ["n100"], "n800": ["n100"], "v500": ["v300"]}
    assert pairs(made.test, made.test_targets, made.labels) == held


def test_filters_list_the_point_itself(made: Dataset) -> None:
    train = {(made.train.uids[row], made.labels.uids[label]) for row, label in made.train_filter}
    assert {short(a) for a, _ in train} == {"a100", "a200", "n100", "n200", "n300"}
    assert all(a == b for a, b in train)
    test = [(short(made.test.uids[row]), short(made.labels.uids[label])) for row, label in made.test_filter]
    assert test == [("v500", "v500")]


def test_texts_are_words_and_gloss(made: Dataset) -> None:
    texts = dict(zip(made.labels.uids, zip(made.labels.titles, made.labels.contents, strict=True), strict=True))
    assert texts["n00000100"] == ("fruit, edible fruit", 'what grows on a tree; "ripe fruit"')
    assert texts["a00000100"] == ("ripe", "ready to eat")
    assert texts["a00000200"] == ("mellow, b, c, d, e, f, g, h, i, j, well (done)", "soft")


def test_graphs_need_two_links_and_never_reach_a_test_point(made: Dataset) -> None:
    assert anchors(made, "derivation") == {
        "outside; not in it": ["n300", "N300"],
        "pick; take off a tree": ["n200", "N200"],
    }
    assert anchors(made, "domain") == {"cookery; work in a kitchen": ["n200", "N200"]}
    lemmas = anchors(made, "lemma")
    assert lemmas["apple"] == ["n200", "N200"]
    assert lemmas["pip"] == ["n300", "N300", "V300"]
    assert not {"pick", "reach", "fall", "pear"} & lemmas.keys()
    assert anchors(made, "lexname") == {
        "adj.all": ["a100", "a200", "A100", "A200"],
        "noun.food": ["n100", "n200", "N100", "N200"],
        "noun.plant": ["n300", "N300"],
        "verb.contact": ["v200", "V300", "V500"],
    }


def test_same_files_give_the_same_bytes_and_the_licence_goes_along(files: Path, tmp_path: Path) -> None:
    first, second = (prepare("wordnet", tmp_path / name, files=files) for name in ("a", "b"))
    written = [
        {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in (first, second)
    ]
    assert written[0] == written[1]
    assert written[0]["SOURCE.txt"].decode().endswith("\n\nYou may do what you like\nwith these lines.\n")


def test_card_written_is_the_card_shipped(made: Dataset, tmp_path: Path) -> None:
    (tmp_path / "shipped" / "wordnet").mkdir(parents=True)
    assert made.card == load_card(tmp_path / "shipped" / "wordnet")


def test_installed_files_are_the_default(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordnet, "INSTALLED", files)
    assert len(load_dataset(prepare("wordnet", tmp_path / "set")).train) == 6


def test_nothing_installed_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordnet, "INSTALLED", tmp_path / "nothing")
    with pytest.raises(InputError, match=r"nothing/data.noun: No such file .* install the package wordnet-base"):
        prepare("wordnet", tmp_path / "out")


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not on PATH")
def test_package_is_unpacked(files: Path, tmp_path: Path) -> None:
    control = tmp_path / "root" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.parent.chmod(0o755)
    control.write_text("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: x\n")
    build = ["dpkg-deb", "--build", str(tmp_path / "root")]
    subprocess.run([*build, str(tmp_path / "other.deb")], check=True, capture_output=True)
    shutil.copytree(files, tmp_path / "root" / "usr" / "share" / "wordnet")
    subprocess.run([*build, str(tmp_path / "base.deb")], check=True, capture_output=True)
    assert len(load_dataset(prepare("wordnet", tmp_path / "set", files=tmp_path / "base.deb")).train) == 6
    with pytest.raises(InputError, match=r"other.deb: found no usr/share/wordnet in it, expected .* wordnet-base"):
        prepare("wordnet", tmp_path / "out", files=tmp_path / "other.deb")
    (tmp_path / "broken.deb").write_text("no package")
    with pytest.raises(InputError, match=r"broken.deb: found no Debian package that can be unpacked"):
        prepare("wordnet", tmp_path / "out", files=tmp_path / "broken.deb")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["data.noun", "data.adv"])
def test_missing_file_is_named(files: Path, tmp_path: Path, name: str) -> None:
    (files / name).unlink()
    with pytest.raises(InputError, match=f"files/{name}: No such file .* expected WordNet's database"):
        prepare("wordnet", tmp_path / "out", files=files)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("00000200 00 s 01 soft 0 001 & 00000100 a 0000", "expected a synset: 'OFFSET"),
        ("00000200 00 s 02 soft 0 001 & 00000100 a 0000 | no second word", "expected a synset: 'OFFSET"),
        ("00000200 00 s 00 000 | no word", "expected a synset: 'OFFSET"),
        ("00000200 00 s 01 soft 0 002 & 00000100 a 0000 | no second pointer", "expected a synset: 'OFFSET"),
        ("00000200 45 s 01 soft 0 000 | no such lexicographers' file", "expected a synset: 'OFFSET"),
        ("200 00 s 01 soft 0 000 | no eight digits", "expected a synset: 'OFFSET"),
        ("00000200 00 n 01 soft 0 000 | a noun", "found a synset of type 'n', expected a or s"),
        ("00000100 00 s 01 soft 0 000 | twice", "found offset 00000100 again"),
        ("00000200 00 s 01 soft 0 001 & 00000900 a 0000 | nowhere", "found a pointer & to a00000900"),
        ("00000200 00 s 01 soft 0 000 | caf\udce9", "found bytes that are not UTF-8"),
    ],
)
def test_broken_line_is_named(files: Path, tmp_path: Path, line: str, found: str) -> None:
    text = f"{ADJ.splitlines()[0]}\n{line}\n"
    (files / "data.adj").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=f"^data.adj, line 2: .*{found}"):
        prepare("wordnet", tmp_path / "out", files=files)
    assert not (tmp_path / "out").exists()


def test_files_that_teach_nothing_are_refused(files: Path, tmp_path: Path) -> None:
    for name in ("data.noun", "data.verb", "data.adj"):
        (files / name).write_text("")
    with pytest.raises(InputError, match="found 0 training and 0 test pairs, expected some of each"):
        prepare("wordnet", tmp_path / "out", files=files)


@pytest.mark.slow
def test_real_files_agree_with_the_reference(tmp_path: Path, real_data) -> None:
    if not wordnet.INSTALLED.is_dir():
        pytest.skip("the package wordnet-base is not installed")
    reference = load_dataset(real_data("LF-WordNet"))
    real = load_dataset(prepare("wordnet", tmp_path / "set"))
    for ours, theirs in (
        (len(real.train), len(reference.train)),
        (len(real.test), len(reference.test)),
        (real.n_labels, reference.n_labels),
        (real.train_targets.nnz, reference.train_targets.nnz),
        (real.test_targets.nnz, reference.test_targets.nnz),
        (len(real.train_filter), len(reference.train_filter)),
        (len(real.test_filter), len(reference.test_filter)),
    ):
        assert ours == pytest.approx(theirs, rel=0.02)
    assert real.graphs.keys() == reference.graphs.keys()
    for kind, graph in real.graphs.items():
        theirs = reference.graphs[kind]
        assert len(graph.anchors) == pytest.approx(len(theirs.anchors), rel=0.02)
        assert graph.points.nnz == pytest.approx(theirs.points.nnz, rel=0.02)
        assert graph.labels.nnz == pytest.approx(theirs.labels.nnz, rel=0.02)
