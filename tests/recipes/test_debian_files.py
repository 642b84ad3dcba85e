"""The debian-files recipe on an invented index: labels, caps, and a test part that stays apart."""

import gzip
import lzma
from pathlib import Path

import pytest
from ramen.data.recipes import debian_files
from ramen.data.recipes.debian import read_packages
from ramen.data.recipes.debian_files import choose_packages

from ramen.data import Dataset, load_card, load_dataset
from ramen.data.prepare import NoIndex, prepare
from ramen.errors import InputError

# Held out, by the CRC-32 of the source without digits: nut, plum and, as plum9 is of one family with plum, plum9-doc.
SOURCES = {name: name for name in ("apple", "fig", "kiwi", "lime", "nut", "plum")} | {"plum9-doc": "plum9"}

PACKAGES = "".join(
    f"Package: {name}\nSource: {source} (1.0)\nSection: fruit\nDescription: a {name}\n It grows.\n\n"
    for name, source in SOURCES.items()
)

ALL = (
    "usr/share/doc/x/copyright                               "
    + ",".join(f"fruit/{name}" for name in SOURCES)
    + """
usr/share/apple/kernel.txt fruit/apple
usr/share/fig/leaf shape.txt    fruit/fig,universe/fruit/kiwi
usr/share/icons/blue/tree.png fruit/plum
usr/share/icons/red/tree.png fruit/apple,fruit/fig
usr/share/icons/red/wood.png fruit/lime
usr/share/lime/own.txt fruit/lime
usr/share/nut/only-here.txt fruit/nut
usr/share/nut/wood.png fruit/nut,fruit/absent
usr/share/absent/tree.png fruit/absent
"""
)
AMD64 = "usr/bin/wood.png fruit/plum9-doc,fruit/apple\nusr/lib/\xffbroken fruit/apple\n"


@pytest.fixture
def index(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "Packages.xz").write_bytes(lzma.compress(PACKAGES.encode()))
    (tmp_path / "Contents-all.gz").write_bytes(gzip.compress(ALL.encode()))
    (tmp_path / "Contents-amd64").write_bytes(AMD64.encode("latin-1"))
    both = f"{tmp_path / 'Contents-all.gz'},{tmp_path / 'Contents-amd64'}"
    return {"packages": str(tmp_path / "Packages.xz"), "contents": both}


@pytest.fixture
def files(index: dict[str, str], tmp_path: Path) -> Dataset:
    return load_dataset(prepare("debian-files", tmp_path / "set", **index))


def pairs(uids: list[str], targets, labels: list[str]) -> dict[str, list[str]]:
    return {uid: [labels[i] for i in sorted(targets[row].indices)] for row, uid in enumerate(uids)}


def test_labels_are_the_file_names_of_training_packages(files: Dataset) -> None:
    # copyright is in every package; only-here.txt is in a test package alone.
    assert pairs(files.train.uids, files.train_targets, files.labels.uids) == {
        "apple": ["kernel.txt", "tree.png", "wood.png"],
        "fig": ["leaf shape.txt", "tree.png"],
        "kiwi": ["leaf shape.txt"],
        "lime": ["own.txt", "wood.png"],
    }
    assert pairs(files.test.uids, files.test_targets, files.labels.uids) == {
        "plum": ["tree.png"],
        "plum9-doc": ["wood.png"],
        "nut": ["wood.png"],
    }


def test_texts_are_descriptions_and_directories_without_the_package_names(files: Dataset) -> None:
    assert (files.train.titles[1], files.train.contents[1]) == ("fig - a fig", "It grows.")
    contents = dict(zip(files.labels.uids, files.labels.contents, strict=True))
    assert files.labels.titles == files.labels.uids
    assert contents == {
        "kernel.txt": "usr share",
        "leaf shape.txt": "usr share",
        "own.txt": "usr share",
        "tree.png": "usr share icons red",  # the blue one is of a test package
        "wood.png": "usr share icons red",
    }


def test_directories_of_two_training_points_are_anchors(files: Dataset) -> None:
    graph = files.graphs["directory"]
    assert graph.anchors == ["usr share fig", "usr share icons red"]
    assert pairs(files.train.uids, graph.points, graph.anchors) == {
        "apple": ["usr share icons red"],
        "fig": ["usr share fig", "usr share icons red"],
        "kiwi": ["usr share fig"],
        "lime": ["usr share icons red"],
    }
    assert pairs(files.labels.uids, graph.labels, graph.anchors) == {
        "kernel.txt": [],
        "leaf shape.txt": ["usr share fig"],
        "own.txt": [],
        "tree.png": ["usr share icons red"],
        "wood.png": ["usr share icons red"],
    }


def test_what_lies_only_in_test_packages_changes_no_training_file(index: dict[str, str], tmp_path: Path) -> None:
    first = prepare("debian-files", tmp_path / "a", **index)
    more = ALL + "usr/share/icons/blue/wood.png fruit/plum\nusr/share/icons/blue/new.png fruit/plum,fruit/nut\n"
    (tmp_path / "Contents-all.gz").write_bytes(gzip.compress(more.encode()))
    second = prepare("debian-files", tmp_path / "b", **index)
    for name in ("trn.json.gz", "lbl.json.gz", "graphs/directory.raw.txt.gz", "graphs/directory_lbl_X_Y.npz"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (first / "tst.json.gz").read_bytes() != (second / "tst.json.gz").read_bytes()


def test_caps_keep_labels_of_several_points_first_and_are_reported(index: dict[str, str], tmp_path: Path) -> None:
    lines: list[str] = []
    out = prepare("debian-files", tmp_path / "one", report=lines.append, per_point=2, labels=3, **index)
    ds = load_dataset(out)
    assert ds.labels.uids == ["leaf shape.txt", "tree.png", "wood.png"]
    assert pairs(ds.train.uids, ds.train_targets, ds.labels.uids)["apple"] == ["tree.png", "wood.png"]
    told = (out / "SOURCE.txt").read_text()
    for line in (
        "file names and packages: all: 19 pairs, 7 labels",
        "training, at most 2 labels a point: 7 pairs, 4 labels of 8 pairs, 5 labels",
        "training, at most 3 labels: 6 pairs, 3 labels of 7 pairs, 4 labels",
        "test, of labels with a training point: 3 pairs, 2 labels of 4 pairs, 3 labels",
    ):
        assert line in lines and line in told
    assert "dropped as names of more than 1 % of the packages: 1" in told
    assert "per_point=2" in told and "Contents-amd64 (uncompressed)" in told


def test_pairs_beyond_the_cap_are_filtered(index: dict[str, str], tmp_path: Path, files: Dataset) -> None:
    ds = load_dataset(prepare("debian-files", tmp_path / "one", per_point=1, seed=1, **index))
    both = pairs(ds.train.uids, ds.train_targets, ds.labels.uids)
    assert all(len(labels) == 1 for labels in both.values())
    assert len(ds.train_filter)
    for row, label in ds.train_filter.tolist():
        both[ds.train.uids[row]].append(ds.labels.uids[label])
    shipped = pairs(files.train.uids, files.train_targets, files.labels.uids)
    for uid, labels in both.items():
        assert sorted(labels) == [label for label in shipped[uid] if label in ds.labels.uids]


def test_files_named_like_their_package_are_filtered(index: dict[str, str], tmp_path: Path) -> None:
    more = "usr/share/bug/fig fruit/fig,fruit/kiwi\nusr/share/bug/nut fruit/nut,fruit/lime\n"
    (tmp_path / "Contents-amd64").write_text(AMD64.splitlines()[0] + "\n" + more)
    ds = load_dataset(prepare("debian-files", tmp_path / "own", **index))
    train = pairs(ds.train.uids, ds.train_targets, ds.labels.uids)
    assert "fig" not in train["fig"] and "fig" in train["kiwi"] and "nut" in train["lime"]
    assert pairs(ds.test.uids, ds.test_targets, ds.labels.uids)["nut"] == ["wood.png"]
    for texts, positions, name in ((ds.train, ds.train_filter, "fig"), (ds.test, ds.test_filter, "nut")):
        assert [(texts.uids[row], ds.labels.uids[label]) for row, label in positions] == [(name, name)]


def test_points_are_whole_families_and_the_seed_draws_them() -> None:
    text = "".join(f"Package: p{i}\nSource: {'abcdefgh'[i // 4]}{i % 2}\n\n" for i in range(32))
    known = read_packages([("x", text.encode())], {})
    draws = {tuple(choose_packages(known, 10, seed)) for seed in range(5)}
    assert len(draws) > 1
    for chosen in draws:
        assert len(chosen) == 12
        assert len({known[name].source[0] for name in chosen}) == 3
    assert choose_packages(known, 0, 0) == sorted(known)


def test_same_index_and_seed_give_the_same_bytes(index: dict[str, str], tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        folder = prepare("debian-files", tmp_path / name, **index)
        written.append({str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()})
    assert written[0] == written[1]


def test_progress_is_reported(index: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_files, "_PROGRESS", 4)
    lines: list[str] = []
    prepare("debian-files", tmp_path / "set", report=lines.append, **index)
    assert any(line.startswith("Contents-all.gz: ") for line in lines)


def test_card_written_is_the_card_shipped(files: Dataset, tmp_path: Path) -> None:
    assert files.card == load_card(tmp_path / "debian-files")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contents": ""}, "expected packages and contents"),
        ({"packages": ""}, "expected packages and contents"),
        ({"per_point": 0}, "option 'per_point': found 0"),
        ({"points": -1}, "option 'points': found -1"),
        ({"labels": 0}, "option 'labels': found 0"),
        ({"contents": "absent.gz"}, "cannot be read as a package index"),
        ({"points": 1}, "expected some of each"),
    ],
)
def test_bad_options_are_refused(index: dict[str, str], tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare("debian-files", tmp_path / "out", **{**index, **change})
    assert not (tmp_path / "out").exists()


def test_truncated_contents_are_refused(index: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "Contents-all.gz"
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(InputError, match="cannot be read as a package index"):
        prepare("debian-files", tmp_path / "out", **index)


def test_sources_without_contents_give_no_index(
    index: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = debian_files.Index([("Packages.xz", tmp_path / "Packages.xz")], [], "toy", "unknown")
    monkeypatch.setattr(debian_files, "fetch", lambda *args, **options: only)
    with pytest.raises(NoIndex, match="no index of files"):
        prepare("debian-files", tmp_path / "out")
