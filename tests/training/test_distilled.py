"""``encoder=hlm:PATH``: a distilled encoder as the start, its teacher's label vectors as the dense scorer's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import ramen
from ramen.config import load_config
from ramen.encoders.distilled import (
    HELD_OUT,
    TEACHER_LABELS,
    read_held_out,
    read_teacher_labels,
    write_held_out,
    write_teacher_labels,
)
from ramen.encoders.folder import load_folder
from ramen.errors import InputError
from ramen.scorers.dense.alignment import procrustes
from ramen.training.data import prepare

FIXED = ["training.epochs=0", "dense.epochs=0", "sparse.passes=0"]


@pytest.fixture
def distilled(finished_run, planted, tmp_path):
    """What hlm leaves: the encoder of a run, and label vectors that are those of its own label texts, turned."""
    folder = tmp_path / "hlm"
    encoder = load_folder(finished_run / "encoder", 256)
    (folder).mkdir()
    encoder.export(folder / "student")
    labels = ramen.load_dataset(planted).labels
    vectors = encoder.encode(encoder.tokenize(labels.joined())).numpy()
    write_teacher_labels(folder / "student", labels.uids, -vectors)
    return folder


def test_without_stage_1_the_run_keeps_the_encoder_and_scores_by_the_teachers_labels(distilled, planted, tmp_path):
    run = ramen.train(planted, out=tmp_path / "run", graphs="all", overrides=[f"encoder=hlm:{distilled}", *FIXED])
    texts = ["battery charger", "pump"]
    before = load_folder(distilled / "student", 256)
    found = ramen.load_encoder(run).encode(texts)
    np.testing.assert_allclose(found, before.encode(before.tokenize(texts)).numpy(), atol=2e-6)
    from ramen.inference.run import load_run

    teacher = read_teacher_labels(distilled / "student", ramen.load_dataset(planted).labels.uids)
    np.testing.assert_allclose(load_run(run).ranker.scorers["encoder"].weights.vectors, teacher.numpy(), atol=1e-3)
    assert ramen.Tagger.load(run).tag(texts, k=2)


def test_stage_1_trains_it_further(distilled, planted, tmp_path, quick):
    steps = [word for word in quick if not word.startswith("encoder.")]
    run = ramen.train(planted, out=tmp_path / "run", overrides=[f"encoder=hlm:{distilled / 'student'}", *steps])
    before = load_folder(distilled / "student", 256)
    texts = ["battery charger", "pump"]
    assert np.abs(ramen.load_encoder(run).encode(texts) - before.encode(before.tokenize(texts)).numpy()).max() > 1e-3


def test_the_dense_scorer_starts_from_the_teachers_labels_or_the_encoders(distilled, planted):
    dataset = ramen.load_dataset(planted)
    asked = [f"encoder=hlm:{distilled}"]
    data, _ = prepare(dataset, load_config("static", asked))
    assert data.teacher_labels is not None and len(data.teacher_labels) == len(dataset.labels)
    data, _ = prepare(dataset, load_config("static", [*asked, "encoder.labels=own"]))
    assert data.teacher_labels is None


@pytest.mark.parametrize("expected", ["teacher", "own"])
def test_validation_says_whose_labels_the_dense_scorer_starts_from(distilled, planted, tmp_path, expected):
    """A teacher that knows its points where half of the label texts mislead; or one that knows nothing."""
    data = ramen.load_dataset(planted)
    encoder = load_folder(distilled / "student", 256)
    if expected == "teacher":
        half = data.n_labels // 2  # of the rest the teacher's space is still learnt
        for texts in (data.labels.titles, data.labels.contents):
            texts[:half] = texts[:half][::-1]
        vectors = data.train_targets.T @ encoder.encode(encoder.tokenize(data.train.joined())).numpy()
    else:
        vectors = np.random.default_rng(0).normal(size=(data.n_labels, encoder.dim))
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    write_teacher_labels(distilled / "student", data.labels.uids, vectors)
    words = [f"encoder=hlm:{distilled}", "dense.epochs=1"]
    words += ["training.lr=1e-6", "training.min_steps=2", "training.epochs=1"] if expected == "teacher" else []
    run = ramen.train(data, out=tmp_path / "run", graphs="none", overrides=words)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["starts_from"] for line in log if "starts_from" in line] == [expected]
    dense = json.loads((run / "metrics.json").read_text())["chosen"]["scorers"].get("dense")
    assert dense is None or dense["start"] == expected


def test_validation_holds_out_what_the_distillation_held_out(distilled, planted, tmp_path, quick):
    """A student knows the pairs it was trained on; a choice made on those would favour it."""
    data = ramen.load_dataset(planted)
    held_out = [uid for uid, row in zip(data.train.uids, data.train_targets, strict=True) if row.nnz][::3]
    write_held_out(distilled / "student", [*held_out, "of another set"])
    rows = read_held_out(distilled / "student", data.train.uids)
    assert [data.train.uids[row] for row in rows] == held_out
    steps = [word for word in quick if not word.startswith("encoder.")]
    run = ramen.train(planted, out=tmp_path / "run", graphs="none", overrides=[f"encoder=hlm:{distilled}", *steps])
    assert f"validation: the {len(held_out)} points" in (run / "log.jsonl").read_text()
    write_held_out(distilled / "student", held_out[:5])
    few = ramen.train(planted, out=tmp_path / "few", graphs="none", overrides=[f"encoder=hlm:{distilled}", *steps])
    assert "the distillation held out only 5 points" in (few / "log.jsonl").read_text()
    (distilled / "student" / HELD_OUT).write_text("no")
    with pytest.raises(InputError, match="held_out.json: not a list of names"):
        ramen.train(planted, out=tmp_path / "b", graphs="none", overrides=[f"encoder=hlm:{distilled}", *steps])


def test_turned_undoes_a_rotation():
    generator = torch.Generator().manual_seed(0)
    own = torch.nn.functional.normalize(torch.randn(50, 8, generator=generator), dim=1)
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    torch.testing.assert_close(procrustes(own @ rotation, own), own, atol=1e-5, rtol=0)


def test_bad_input_is_one_error(distilled, planted, tmp_path):
    def refused(words, match):
        with pytest.raises(InputError, match=match):
            ramen.train(planted, out=tmp_path / "run", overrides=words)

    refused(["encoder=glm:x"], "glm:x: expected the folder of a finished run.*found nothing there")
    refused(["encoder=static"], "expected encoder=RUN or encoder=hlm:PATH; the kind is set by encoder.kind=static")
    refused(["encoder=hlm:"], "expected encoder=RUN or encoder=hlm:PATH")
    refused([f"encoder=hlm:{tmp_path}/none"], "found nothing there")
    refused([f"encoder=hlm:{planted}"], "found none of them")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="kind static: add --preset static"):
        ramen.train(planted, preset="transformer", out=tmp_path / "a", overrides=[f"encoder=hlm:{distilled}"])
    path = distilled / "student" / TEACHER_LABELS
    write_teacher_labels(path.parent, ["x"], np.ones((1, 4)))
    with pytest.raises(InputError, match="has 1 labels and no vector of .*encoder.labels=own"):
        ramen.train(planted, out=tmp_path / "b", overrides=[f"encoder=hlm:{distilled}"])
    path.write_bytes(b"no")
    with pytest.raises(InputError, match="not a teacher's label vectors"):
        ramen.train(planted, out=tmp_path / "c", overrides=[f"encoder=hlm:{distilled}"])
