"""``--preset words``: a bag-of-words set trains, is evaluated and tags without an encoder of texts."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

import ramen
from ramen.data.sparse_text import sparse_text
from ramen.encoders.bag_of_words import BagFeatures, BagOfWordsEncoder
from ramen.encoders.word_features import WordFeatures
from ramen.errors import InputError


@pytest.fixture(scope="module")
def bags(planted, tmp_path_factory):
    """The planted set as bags of words."""
    texts = ramen.load_dataset(planted)
    counts = WordFeatures.fit(texts.train.joined(), "words", min_count=1)
    folder = tmp_path_factory.mktemp("sets") / "bags"
    folder.mkdir()
    for split, part, targets in (
        ("trn", texts.train, texts.train_targets),
        ("tst", texts.test, texts.test_targets),
    ):
        rows = counts.transform(part.joined())
        (folder / f"{split}_X_Xf.txt").write_text("".join(sparse_text(rows)))
        (folder / f"{split}_X_Y.txt").write_text("".join(sparse_text(targets)))
    (folder / "Y.txt").write_text("".join(f"label {n}\n" for n in range(texts.n_labels)))
    return folder


@pytest.fixture(scope="module")
def run(bags, tmp_path_factory):
    return ramen.train(bags, preset="words", out=tmp_path_factory.mktemp("runs") / "run")


def test_it_beats_what_a_chance_ranking_gives_and_says_so_in_its_folder(run, bags):
    figures = json.loads((run / "metrics.json").read_text())
    assert not (run / "encoder/modules.json").exists() and not (run / "checkpoints").exists()
    assert "encoder" in figures["scorers"] and len(figures["scorers"]) > 1
    assert figures["test"]["P@1"] > 12, figures["test"]  # chance is 1
    assert ramen.evaluate(run, bags)["test"] == pytest.approx(figures["test"])


def test_two_runs_are_the_same(run, bags, tmp_path):
    again = ramen.train(bags, preset="words", out=tmp_path / "run")
    first, second = (json.loads((folder / "metrics.json").read_text())["test"] for folder in (run, again))
    assert first == second


def test_it_tags_matrices_and_pairs(run, bags):
    tagger = ramen.Tagger.load(run)
    features = ramen.load_dataset(bags).features.test[:3]
    by_matrix = tagger.run.ranker.rank(tagger.queries(features), 3)[0]
    texts = [" ".join(f"{c}:{v:.9g}" for c, v in zip(row.indices, row.data, strict=True)) for row in features]
    tagged = tagger.tag(texts, k=3)
    assert [[int(label["uid"]) for label in row] for row in tagged] == by_matrix.tolist()
    assert tagged[0][0]["text"].startswith("label ")
    command = [sys.executable, "-m", "ramen.cli.main", "tag", str(run), texts[0], "a red apple"]
    done = subprocess.run(command, capture_output=True, text=True)
    good, bad = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 2 and good["labels"][0]["uid"] == tagged[0][0]["uid"]
    assert "found 'a', expected feature:value" in bad["error"]


def test_bad_calls_are_one_error(run, bags, planted, tmp_path):
    with pytest.raises(InputError, match="no training point has a text, expected --preset words"):
        ramen.train(bags, out=tmp_path / "a")
    with pytest.raises(InputError, match="has no bags of words .trn_X_Xf.txt., expected some"):
        ramen.train(planted, preset="words", out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(InputError, match="a run over bags of words, expected one with an encoder of texts"):
        ramen.load_encoder(run)
    with pytest.raises(InputError, match="has no bags of words .trn_X_Xf.txt., expected some"):
        data = ramen.load_dataset(planted)
        data.labels.uids = [str(n) for n in range(data.n_labels)]
        ramen.evaluate(run, data)
    encoder = ramen.Tagger.load(run).encoder
    with pytest.raises(InputError, match="found '1:x', expected feature:value"):
        encoder.read("0:1 1:x")
    with pytest.raises(InputError, match="of a feature of 0 to"):
        encoder.read("99999999:1")


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (4, 3), (40, 30)])
def test_bags_of_any_shape_come_back_as_they_were(tmp_path, shape):
    dense = sp.random(*shape, density=0.5, random_state=0, dtype=np.float32).toarray()
    dense[0, 0] = 1.0
    features = sp.csr_matrix(dense)
    encoder = BagOfWordsEncoder.fit(features)
    words = BagFeatures("words+idf", encoder.idf)
    rows, vectors = words.transform(features), encoder.encode(features)
    lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
    assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))
    assert np.isfinite(vectors).all() and vectors.shape[0] == shape[0]
    assert not BagFeatures.is_in(tmp_path) and BagOfWordsEncoder.open(tmp_path) is None
    words.save(tmp_path / "words")
    encoder.export(tmp_path / "encoder")
    again = BagFeatures.load(tmp_path / "words")
    assert again.features == "words+idf" and (again.transform(features) != rows).nnz == 0
    np.testing.assert_array_equal(BagOfWordsEncoder.open(tmp_path / "encoder").encode(features), vectors)
    with pytest.raises(InputError, match="found none at any training point"):
        BagOfWordsEncoder.fit(sp.csr_matrix(shape, dtype=np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "p1", "p5"), [("Bibtex", 64.2, 28.4)])
def test_a_real_set_is_ahead_of_omikuji(real_data, tmp_path, name, p1, p5):
    """Its better variant, measured on the same split: benchmarks/peers.py has the peer."""
    test = json.loads((ramen.train(real_data(name), preset="words", out=tmp_path / "r") / "metrics.json").read_text())[
        "test"
    ]
    assert test["P@1"] > p1 and test["P@5"] > p5
