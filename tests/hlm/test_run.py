"""The whole chain, its folder, and what ramen makes of it."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import ramen
from hlm_bridge.run import run
from ramen.encoders.folder import load_folder


def test_a_static_student_becomes_ramens_backbone(chain_config, planted, tmp_path, short_own):
    out = run(chain_config("gate.own=say"))
    assert {"teacher", "vectors", "align", "refine", "student", "report.md", "report.json"} <= {
        path.name for path in out.iterdir()
    }
    report = json.loads((out / "report.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["teacher", "align", "refine"]
    teacher, *students = report["rows"]
    assert all(row["texts_per_s"] > teacher["texts_per_s"] for row in students)
    assert report["rows"][0]["shares"]["P@1"] == {"share": 1.0, "low": 1.0, "high": 1.0}
    assert "the student trained alone" in (out / "report.md").read_text()
    steps = ["training.epochs=1", "training.min_steps=1", "graph.min_steps=1", "dense.epochs=1", "sparse.choose=False"]
    words = [f"encoder=hlm:{out}", "data.text=title", "graph.lambda=fixed", *steps]
    made = ramen.train(planted, out=tmp_path / "run", overrides=words)
    assert ramen.Tagger.load(made).tag(["a title"], k=2)


def test_a_transformer_student_climbs_down_the_ladder(chain_config, tmp_path):
    ladder = "prune.ladder=layers:2,layers:1+units:16,vocabulary"
    out = run(chain_config("align.student=transformer", ladder, "align.steps=5"))
    report = json.loads((out / "report.json").read_text())
    parameters = {row["name"]: row["parameters"] for row in report["rows"]}
    assert parameters["prune"] < parameters["align"] == parameters["teacher"]
    assert [step["cut"] for step in report["phases"]["prune"]["steps"]] == [
        "layers:2",
        "layers:1+units:16",
        "vocabulary",
    ]
    student = load_folder(out / "student", 16)
    texts = ["kado bele", "a title"]
    ours = student.encode(student.tokenize(texts)).numpy()
    stock = SentenceTransformer(str(out / "student"), device="cpu").encode(texts)
    np.testing.assert_allclose(ours, stock, atol=2e-6)


def test_every_file_and_folder_of_a_chain_has_the_mode_of_the_umask(finished_chain):
    mask = os.umask(0)
    os.umask(mask)
    for path in (finished_chain, *finished_chain.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~mask, path


def test_a_second_call_computes_nothing(chain_config, whole_chain):
    config, out = chain_config(), whole_chain
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors") if "student" not in str(path)}
    log = (out / "log.jsonl").read_text().count('"step"')
    run(config)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (out / "log.jsonl").read_text().count('"step"') == log


@pytest.mark.parametrize(
    "words", [(), ("teacher.label_map=True",), ("teacher.reads=text+anchors", "teacher.prompt=find: ")]
)
def test_the_student_never_needs_the_teacher(chain_config, words):
    """Its queries score the teacher's label vectors that lie beside it."""
    from hlm_bridge.chain import Chain
    from hlm_bridge.vectors import teacher_vectors
    from ramen.encoders.distilled import read_held_out, read_teacher_labels

    config = chain_config(*words)
    out = run(config)
    chain = Chain(config)
    kept = read_teacher_labels(out / "student", chain.dataset.labels.uids)
    np.testing.assert_array_equal(read_held_out(out / "student", chain.dataset.train.uids), chain.split.held_out_rows)
    np.testing.assert_allclose(kept.numpy(), teacher_vectors(chain).labels, atol=1e-3)


def test_the_students_folder_brings_the_label_map(chain_config, finished_chain):
    """RAMEN's training starts with related labels apart from alike ones, as the teacher learnt."""
    from safetensors.torch import load_file

    from ramen.encoders.folder import LABEL_MAP

    out = run(chain_config("teacher.label_map=True"))
    weight = load_file(out / "teacher" / LABEL_MAP)["weight"]
    assert weight.abs().max() > 0
    assert torch.equal(load_folder(out / "student", 16).label_map.weight.detach(), weight)
    assert not (finished_chain / "student" / LABEL_MAP).exists()
