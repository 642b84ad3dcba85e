"""The planted set: the same bytes every time, and the truth that it says it has."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.data import Dataset, load_card, load_dataset
from ramen.data.prepare import prepare
from ramen.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare("planted", tmp_path_factory.mktemp("planted") / "set", points=600, labels=200)


@pytest.fixture(scope="module")
def planted(folder: Path) -> Dataset:
    return load_dataset(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def share_of_linked_pairs(ds: Dataset, kind: str, targets: sp.csr_matrix) -> float:
    """Of the (point, label) pairs of ``targets``, how many share an anchor."""
    graph = ds.graphs[kind]
    linked = (graph.points @ graph.labels.T).astype(bool)
    return linked.multiply(targets.astype(bool)).nnz / targets.nnz


def test_same_options_give_the_same_bytes_in_another_process(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    call = f"from ramen.data.prepare import prepare; prepare('planted', {str(again)!r}, points=600, labels=200)"
    # Another hash seed orders every set of strings anew.
    subprocess.run([sys.executable, "-c", call], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert files(again) == files(folder)


def test_another_seed_gives_another_set(folder: Path, tmp_path: Path) -> None:
    other = prepare("planted", tmp_path / "other", points=600, labels=200, seed=1)
    assert files(other)["trn.json.gz"] != files(folder)["trn.json.gz"]


@pytest.mark.parametrize(("points", "labels"), [(50, 20), (300, 120), (60, 400)])
def test_sizes_are_as_asked(tmp_path: Path, points: int, labels: int) -> None:
    ds = load_dataset(prepare("planted", tmp_path / "set", points=points, labels=labels))
    assert (len(ds.train), len(ds.test), ds.n_labels) == (points - points // 5, points // 5, labels)
    assert ds.train_targets.sum(axis=0).min() >= 1
    assert ds.test_targets.sum(axis=1).min() >= 1
    assert len(ds.train_filter) and len(ds.test_filter)


@pytest.mark.parametrize("option", ["points", "labels"])
def test_too_small_is_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(InputError, match=f"option '{option}': found 3, expected at least"):
        prepare("planted", tmp_path / "out", **{option: 3})
    assert not (tmp_path / "out").exists()


def test_frequencies_have_a_long_tail(planted: Dataset) -> None:
    frequency = np.asarray(planted.train_targets.sum(axis=0)).ravel()
    assert (frequency == 1).mean() > 0.1
    assert frequency.max() >= 4 * np.median(frequency)
    assert (np.asarray(planted.train_targets.sum(axis=1)) > 1).mean() > 0.3


def test_links_tie_true_pairs_and_noise_does_not(planted: Dataset) -> None:
    order = np.random.default_rng(0).permutation(planted.n_labels)
    shuffled = planted.train_targets[:, order]
    true, chance = (share_of_linked_pairs(planted, "links", y) for y in (planted.train_targets, shuffled))
    assert true > 0.6 and chance < 0.15
    assert share_of_linked_pairs(planted, "noise", planted.train_targets) < 0.15


def test_only_anchors_use_both_vocabularies_of_a_group(planted: Dataset, folder: Path) -> None:
    truth = np.load(folder / "truth.npz")
    main: dict[str, dict[int, set[str]]] = {"train": {}, "label": {}}
    for side, texts, groups in (
        ("train", planted.train, truth["train_groups"][:, 0]),
        ("label", planted.labels, truth["label_groups"]),
    ):
        twins = set(planted.train_filter[:, 0]) if side == "train" else set()
        for row, (group, text) in enumerate(zip(groups.tolist(), texts.joined(), strict=True)):
            if row not in twins:  # a twin has the title of a label
                main[side].setdefault(group, set()).update(text.split())
    n_groups = len(main["label"])
    both = seen = 0
    for anchor, text in enumerate(planted.graphs["links"].anchors):
        group, words = anchor % n_groups, set(text.split())
        if group not in main["train"]:  # a rare group, of test points only
            continue
        seen += 1
        own = main["train"][group] - main["label"][group], main["label"][group] - main["train"][group]
        both += bool(words & own[0]) and bool(words & own[1])
    assert seen > 0.8 * len(planted.graphs["links"].anchors)
    assert both > 0.9 * seen


def test_truth_explains_the_targets(planted: Dataset, folder: Path) -> None:
    truth = np.load(folder / "truth.npz")
    assert truth["train_topics"].shape == (len(planted.train),) and truth["label_topics"].shape == (planted.n_labels,)
    for split, targets in (("test", planted.test_targets), ("train", planted.train_targets)):
        assert truth[f"{split}_groups"].shape == (targets.shape[0], 2)
        rows, columns = targets.nonzero()
        explained = (truth[f"{split}_groups"][rows] == truth["label_groups"][columns][:, None]).any(1)
        assert explained.all() if split == "test" else explained.mean() > 0.95  # every label has a training point


def test_with_many_groups_words_are_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ramen.data.recipes import planted as recipe

    monkeypatch.setattr(recipe, "_LEXICON", 500)
    monkeypatch.setattr(recipe, "_BLOCK", 97)
    dataset = load_dataset(prepare("planted", tmp_path / "set", points=300, labels=200))
    words = {word for text in dataset.train.joined() + dataset.labels.joined() for word in text.split()}
    assert len(words) <= 60 + 8 * 30 + 2 * 500 + 200
    assert share_of_linked_pairs(dataset, "links", dataset.train_targets) > 0.6


def test_twins_are_filtered_and_never_targets(planted: Dataset) -> None:
    for pairs, targets, texts in (
        (planted.train_filter, planted.train_targets, planted.train),
        (planted.test_filter, planted.test_targets, planted.test),
    ):
        assert all(texts.titles[row] == planted.labels.titles[label] for row, label in pairs)
        assert targets[pairs[:, 0], pairs[:, 1]].sum() == 0


def test_some_rows_have_no_content_and_all_have_a_title(planted: Dataset) -> None:
    assert "" in planted.train.contents
    assert all(planted.train.titles + planted.test.titles + planted.labels.titles)


def test_card_written_is_the_card_shipped(planted: Dataset, tmp_path: Path) -> None:
    assert planted.card == load_card(tmp_path / "planted")
