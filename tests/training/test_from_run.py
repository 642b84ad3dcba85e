"""``encoder=RUN``: training goes on from the encoder of a finished run, which comes back whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

import ramen
from ramen.data.prepare import prepare as prepare_data
from ramen.encoders.build import run_of, student_folder
from ramen.encoders.distilled import HELD_OUT, TEACHER_LABELS, read_held_out, write_teacher_labels
from ramen.encoders.folder import LABEL_MAP, load_folder
from ramen.errors import InputError
from ramen.inference.run import load_run

AS_IT_IS = ["training.epochs=0", "dense.epochs=0", "sparse.passes=0"]


def notes(run: Path) -> str:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return "\n".join(f"{line['stage']}: {line['note']}" for line in lines if "note" in line)


def go_on(data, start, out, *words: str, **options) -> Path:
    return ramen.train(data, out=out, graphs="none", overrides=[f"encoder={start}", *words], **options)


def of_encoder(run: Path) -> dict[str, float]:
    metrics = json.loads((run / "metrics.json").read_text())
    return metrics["scorers"]["encoder"] if metrics.get("scorers") else metrics["test"]


def label_vectors(run: Path) -> np.ndarray:
    return np.asarray(load_run(run).ranker.scorers["encoder"].weights.vectors, dtype=np.float32)


@pytest.fixture(scope="module")
def transformer_run(tmp_path_factory, planted, quick):
    words = [*quick, "training.epochs=1", "training.min_steps=4", "training.batch_size=64"]
    out = tmp_path_factory.mktemp("runs") / "transformer"
    return ramen.train(planted, preset="transformer", out=out, graphs="none", overrides=words)


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_a_runs_encoder_comes_back_whole(kind, request, planted):
    run = request.getfixturevalue({"static": "finished_run", "transformer": "transformer_run"}[kind])
    data = ramen.load_dataset(planted)
    encoder = load_folder(run / "encoder", 256).eval()
    assert encoder.label_map.weight.any()
    texts = data.test.joined()[:20]
    points = encoder.encode(encoder.tokenize(texts)).numpy()
    np.testing.assert_allclose(points, ramen.load_encoder(run).encode(texts), atol=1e-5)
    np.testing.assert_allclose(points, SentenceTransformer(str(run / "encoder"), device="cpu").encode(texts), atol=1e-5)
    labels = encoder.encode_labels(encoder.tokenize(data.labels.joined())).numpy()
    np.testing.assert_allclose(labels, label_vectors(run), atol=1e-5)


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_without_epochs_nothing_is_lost(kind, request, planted, tmp_path):
    run = request.getfixturevalue({"static": "finished_run", "transformer": "transformer_run"}[kind])
    again = go_on(planted, run, tmp_path / "run", *AS_IT_IS, preset=kind)
    np.testing.assert_allclose(label_vectors(again), label_vectors(run), atol=1e-5)
    before, after = of_encoder(run), of_encoder(again)
    assert {name: after[name] for name in ("P@1", "P@5", "R@10")} == pytest.approx(
        {name: before[name] for name in ("P@1", "P@5", "R@10")}, abs=0.5
    )
    said = notes(again)
    assert "search: validation:" in said and "hyperparameters chosen on them are biased towards it" in said
    assert "as an older version" not in said


def test_training_goes_on_from_it(finished_run, planted, tmp_path, quick):
    steps = [word for word in quick if not word.startswith("encoder.")]
    more = go_on(planted, finished_run / "encoder", tmp_path / "run", *steps)
    assert np.abs(label_vectors(more) - label_vectors(finished_run)).max() > 1e-3


def test_a_set_with_other_labels_has_vectors_of_their_texts(finished_run, tmp_path):
    data = prepare_data("planted", tmp_path / "other", points=120, labels=40)
    run = go_on(data, finished_run, tmp_path / "run", *AS_IT_IS)
    encoder = load_folder(finished_run / "encoder", 256).eval()
    labels = encoder.encode_labels(encoder.tokenize(ramen.load_dataset(data).labels.joined())).numpy()
    np.testing.assert_allclose(label_vectors(run), labels, atol=1e-5)


def test_a_teachers_label_vectors_stay_with_an_encoder_that_scores_by_them(finished_run, planted, tmp_path):
    student = tmp_path / "hlm" / "student"
    shutil.copytree(finished_run / "encoder", student)
    labels = ramen.load_dataset(planted).labels
    teacher = np.random.default_rng(0).normal(size=(len(labels), load_folder(student, 8).dim))
    write_teacher_labels(student, labels.uids, teacher / np.linalg.norm(teacher, axis=1, keepdims=True))
    first = go_on(planted, f"hlm:{tmp_path / 'hlm'}", tmp_path / "first", *AS_IT_IS)
    assert (first / "encoder" / TEACHER_LABELS).exists()
    again = go_on(planted, first, tmp_path / "again", *AS_IT_IS)
    np.testing.assert_allclose(label_vectors(again), label_vectors(first), atol=1e-3)
    other = prepare_data("planted", tmp_path / "other", points=120, labels=130, seed=5)
    with pytest.raises(InputError, match="no vector of .*encoder.labels=own"):
        go_on(other, first, tmp_path / "refused", *AS_IT_IS)
    go_on(other, first, tmp_path / "own", *AS_IT_IS, "encoder.labels=own")


def test_a_run_that_was_not_refitted_hands_its_held_out_points_on(finished_run, planted, tmp_path, quick):
    steps = [word for word in quick if word.startswith(("training.", "graph.", "dense.", "sparse."))]
    backbone = next(word for word in quick if word.startswith("encoder."))
    data = ramen.load_dataset(planted)
    words = [backbone, *steps, "validation.refit=false"]
    first = ramen.train(planted, out=tmp_path / "first", graphs="none", overrides=words)
    rows = read_held_out(first / "encoder", data.train.uids)
    assert len(rows)
    second = go_on(planted, first, tmp_path / "second", *steps, "validation.refit=false")
    assert f"validation: the {len(rows)} points that {first} held out" in notes(second)
    np.testing.assert_array_equal(read_held_out(second / "encoder", data.train.uids), rows)
    third = go_on(planted, second, tmp_path / "third", *steps)
    assert f"validation: the {len(rows)} points that {second} held out" in notes(third)
    assert not (third / "encoder" / HELD_OUT).exists()  # it was trained on all points in the end
    assert not (finished_run / "encoder" / HELD_OUT).exists()
    seen = go_on(planted, finished_run, tmp_path / "seen", *steps, "validation.refit=false")
    assert not (seen / "encoder" / HELD_OUT).exists()  # its start was trained on them


def test_what_differs_is_said(finished_run, planted, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(finished_run, old)
    (old / "encoder" / LABEL_MAP).unlink()
    run = go_on(planted, old, tmp_path / "run", *AS_IT_IS, "encoder.max_tokens=8", "data.text=title")
    said = notes(run)
    assert "prepare: " in said and "label vectors start as the texts' own" in said
    assert "encoder.max_tokens=256" in said and "data.text=full" in said


def test_where_an_encoder_lies(finished_run, tmp_path):
    assert student_folder(str(finished_run)) == finished_run / "encoder" == student_folder(f"{finished_run}/encoder")
    assert run_of(finished_run / "encoder") == finished_run
    shutil.copytree(finished_run / "encoder", tmp_path / "encoder")
    assert student_folder(str(tmp_path / "encoder")) == tmp_path / "encoder"
    assert run_of(tmp_path / "encoder") is None


def test_bad_input_is_one_error(finished_run, transformer_run, planted, tmp_path):
    def refused(start, match, **options):
        with pytest.raises(InputError, match=match):
            go_on(planted, start, tmp_path / "out", **options)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)

    refused(tmp_path / "none", "found nothing there")
    refused(planted, "found none of them")
    refused(finished_run, "is of the kind static: add --preset static", preset="transformer")
    refused(transformer_run, "is of the kind transformer: add --preset transformer")
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(finished_run / "config.yaml", unfinished)
    refused(unfinished, "found an unfinished run")
    shutil.copytree(finished_run / "encoder", unfinished / "encoder")
    refused(unfinished, "found an unfinished run")
    refused(unfinished / "encoder", "found an unfinished run")
    bags = tmp_path / "bags"
    shutil.copytree(finished_run, bags)
    shutil.rmtree(bags / "encoder")
    (bags / "encoder").mkdir()
    refused(bags, "trained on bags of words")
    damaged = tmp_path / "damaged"
    shutil.copytree(finished_run, damaged)
    (damaged / "encoder" / LABEL_MAP).write_bytes(b"no")
    refused(damaged, "does not load as a sentence-transformers folder")
