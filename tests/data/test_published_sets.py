"""The repository's sets, each in its own layout at small size: get, check, train, eval."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import ramen
from ramen.data import Dataset, bags_of_words, check, load_dataset
from ramen.data import get as module
from ramen.data import published as known
from ramen.data.cards import SIZES, shipped_facts
from ramen.data.get import get
from ramen.encoders.word_features import WordFeatures

SETS = sorted(name for name, facts in shipped_facts().items() if "files" in facts)


def bags(data: Dataset) -> dict[str, sp.csr_matrix]:
    words = WordFeatures.fit(data.train.joined(), "words")
    return {split: words.transform(getattr(data, split).joined()) for split in ("train", "test")}


def one_file(features: sp.csr_matrix, targets: sp.csr_matrix) -> str:
    """``N D L``, then ``l,l f:v f:v``."""
    lines = [f"{features.shape[0]} {features.shape[1]} {targets.shape[1]}"]
    for row in range(features.shape[0]):
        labels = ",".join(map(str, targets[row].indices.tolist()))
        pairs = zip(features[row].indices.tolist(), features[row].data.tolist(), strict=True)
        lines.append(" ".join([labels, *(f"{column}:{value:.6f}" for column, value in pairs)]))
    return "\n".join(lines) + "\n"


def records(data: Dataset, split: str) -> str:
    texts, targets = getattr(data, split), None
    if split != "labels":
        targets = getattr(data, f"{split}_targets")
    lines = []
    for row, (uid, title, content) in enumerate(zip(texts.uids, texts.titles, texts.contents, strict=True)):
        record = {"uid": uid, "title": title, "content": content}
        if targets is not None:
            record |= {"target_ind": targets[row].indices.tolist(), "target_rel": targets[row].data.tolist()}
        lines.append(json.dumps(record) + "\n")
    return "".join(lines)


def pairs(filtered: np.ndarray) -> str:
    return "".join(f"{row} {label}\n" for row, label in filtered.tolist())


def write(data: Dataset, files: list[str], folder: Path) -> None:
    """The files of a set by their published names."""
    words = bags(data)
    made: list[tuple[str, Callable[[], str]]] = [
        ("trn.json.gz", lambda: records(data, "train")),
        ("tst.json.gz", lambda: records(data, "test")),
        ("lbl.json.gz", lambda: records(data, "labels")),
        ("filter_labels_train.txt", lambda: pairs(data.train_filter)),
        ("filter_labels_test.txt", lambda: pairs(data.test_filter)),
        ("Yf.txt", lambda: "".join(f"{title}\n" for title in data.labels.titles)),
        ("train.txt", lambda: one_file(words["train"], data.train_targets)),
        ("test.txt", lambda: one_file(words["test"], data.test_targets)),
    ]
    for name in files:
        if name.endswith("_data.txt"):
            both = sp.vstack([words["train"], words["test"]]).tocsr()
            text = one_file(both, sp.vstack([data.train_targets, data.test_targets]).tocsr())
            last = len(data.train)
            for split, rows in (("trSplit", range(last)), ("tstSplit", range(last, both.shape[0]))):
                (folder / name.replace("data", split)).write_text("".join(f"{row + 1} 1\n" for row in rows))
        else:
            text = next(make for ending, make in made if name.endswith(ending))()
        (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


@pytest.mark.parametrize("name", SETS)
def test_get_check_train_and_eval(name, planted, quick, tmp_path, monkeypatch):
    data = load_dataset(planted)
    facts = {**shipped_facts()[name], **dict(zip(SIZES, (len(data.train), len(data.test), data.n_labels), strict=True))}
    for place in (module, known):
        monkeypatch.setattr(place, "shipped_facts", lambda: {name: facts})
    (tmp_path / "made").mkdir()
    write(data, facts["files"], tmp_path / "made")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in (tmp_path / "made").iterdir():
            archive.write(path, f"{name}/{path.name}")
    folder = tmp_path / name
    get(name, str(tmp_path / "a.zip"), folder, lambda line: None)
    found = load_dataset(folder)
    assert not check(folder).problems and (found.card.A, found.card.B) == (facts["A"], facts["B"])
    for split in ("train", "test"):
        assert (abs(getattr(found, f"{split}_targets") - getattr(data, f"{split}_targets")) > 1e-5).nnz == 0
    texts = found.has_texts
    assert texts == name.startswith("LF-")
    if "train.txt" in facts["files"] and not texts:
        assert (abs(bags_of_words(found).train - bags(data)["train"]) > 1e-5).nnz == 0
    preset = quick if texts else ["dense.epochs=2"]
    run = ramen.train(
        folder, preset="static" if texts else "words", out=tmp_path / "run", overrides=[*preset, "validation.share=0"]
    )
    figures = ramen.evaluate(run, folder)
    assert figures["published"] == facts["published"] and "warning" not in figures
    assert figures["test"]["R@10"] > 1.2 * 100 * 10 / data.n_labels, "above chance"
