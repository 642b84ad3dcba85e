"""``ramen train`` and what follows it, as real processes on real folders."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest
import scipy.sparse as sp

import ramen as library  # the fixture ramen is the command line
from ramen.errors import InputError

FLAW = [
    ("missing data", lambda data: shutil.rmtree(data), "data"),
    ("empty data", lambda data: [shutil.rmtree(data), data.mkdir()], "data"),
    ("broken json", lambda data: alter(data / "trn.json.gz", lambda text: text.replace("}", "", 1)), "trn.json.gz"),
    ("truncated gzip", lambda data: cut(data / "lbl.json.gz"), "lbl.json.gz"),
    ("label out of range", lambda data: first_target(data / "trn.json.gz", 5000), "5000"),
    ("graph rows", lambda data: drop_row(data / "graphs"), "links_trn_X_Y"),
]


def alter(path, change):
    text = gzip.decompress(path.read_bytes()).decode()
    assert change(text) != text
    path.write_bytes(gzip.compress(change(text).encode()))


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def first_target(path, label):
    def change(text):
        first, rest = text.split("\n", 1)
        record = json.loads(first)
        record["target_ind"][0] = label
        return json.dumps(record) + "\n" + rest

    alter(path, change)


def drop_row(graphs):
    path = graphs / "links_trn_X_Y.npz"
    if path.exists():
        sp.save_npz(path, sp.load_npz(path).tocsr()[:-1])
    else:
        path = next(graphs.glob("links_trn_X_Y.txt*"))
        unpack, pack = (gzip.decompress, gzip.compress) if path.suffix == ".gz" else (bytes, bytes)
        header, *rows = unpack(path.read_bytes()).decode().splitlines()
        count, anchors = header.split()
        path.write_bytes(pack("\n".join([f"{int(count) - 1} {anchors}", *rows[:-1]]).encode() + b"\n"))


def refused(done, message):
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("ramen: ") and done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr, done.stderr


def test_prepare_check_train_eval_tag(ramen, tmp_path, quick):
    assert ramen("data", "prepare", "planted", "--out", "data", "points=100", "labels=40").returncode == 0
    assert ramen("data", "check", "data").returncode == 0
    reading = ["data.text=title", "data.pairs=0.8"]
    done = ramen("train", "data", "--out", "run", "--graphs", "links", "--seed", 3, *quick, *reading)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and "Warning" not in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.endswith("next: ramen eval run --data data\n")
    assert "stage 2 of 7: " in done.stderr and "\r" not in done.stderr and "test split, " in done.stderr
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "seed: 3" in config and "- links" in config and "noise" not in config

    done = ramen("eval", "run", "--data", "data", "--json", "figures.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"] == figures["test"]
    assert f"{figures['test']['P@1']:.2f}" in done.stdout and "A 0.55, B 1.5" in done.stdout

    done = ramen("eval", "run", "--data", "data", "--scorer", "encoder", "data.text=full")
    assert done.returncode == 0, done.stderr
    assert "@100" in done.stdout
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"] == figures["test"]
    refused(
        ramen("eval", "run", "--data", "data", "data.pairs=0.1"),
        "expected data.text=title, data.text=full or data.test_points=N",
    )
    done = ramen("eval", "run", "--data", "data", "data.test_points=7", "--json", "some.json")
    assert "measured on 7 of " in done.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"] == figures["test"]
    refused(ramen("eval", "run", "--data", "data", "data.text=titel"), "'titel': expected one of title, full")

    done = ramen("tag", "run", "--k", 3, stdin=b"one text\nanother\n")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in lines] == ["one text", "another"]
    assert all(len(line["labels"]) == 3 for line in lines)
    done = ramen("tag", "run", " ", "text", "another")
    assert (done.returncode, done.stderr) == (2, "ramen: text 1: blank, expected a text\n")
    assert ["error" in json.loads(line) for line in done.stdout.splitlines()] == [True, False, False]


@pytest.mark.parametrize(("flaw", "message"), [flaw[1:] for flaw in FLAW], ids=[flaw[0] for flaw in FLAW])
def test_bad_data_is_refused_and_nothing_is_written(ramen, tmp_path, planted, quick, flaw, message):
    shutil.copytree(planted, tmp_path / "data")
    flaw(tmp_path / "data")
    refused(ramen("train", "data", "--out", "run", *quick), message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--graphs", "links,nosie"], "unknown graph kind 'nosie'"),
        (["--preset", "statik"], "unknown preset 'statik': did you mean 'static'?"),
        (["data.pairs=10"], "data.pairs=10.0: expected a number above 0 and at most 1"),
        (["training.epoch=2"], "unknown key 'training.epoch': did you mean 'training.epochs'?"),
        (["encoder.backbone=no such thing"], "encoder.backbone='no such thing': expected a folder"),
    ],
    ids=["graph", "preset", "pairs", "key", "backbone"],
)
def test_a_bad_call_is_refused_and_nothing_is_written(ramen, tmp_path, planted, arguments, message):
    refused(ramen("train", planted, "--out", "run", *arguments), message)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_written_over(ramen, tmp_path, planted, finished_run, quick):
    shutil.copytree(finished_run, tmp_path / "run")
    before = snapshot(tmp_path)
    refused(ramen("train", planted, "--out", "run", *quick), "run: already holds a finished run")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("out", "resume", "message"),
    [
        ("file", False, "file: expected a folder, found a file"),
        ("full", False, "full: the folder is not empty"),
        ("full", True, "full: no run to resume there"),
        ("none", True, "none: no run to resume there"),
    ],
)
def test_a_taken_out_is_left_as_it_is(tmp_path, planted, quick, out, resume, message):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match=message):
        library.train(planted, out=tmp_path / out, overrides=quick, resume=resume)
    assert snapshot(tmp_path) == before and not (tmp_path / "none").exists()


def snapshot(folder: Path):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_out_without_permission(planted, quick, tmp_path, tiny_backbone, unprivileged):
    tiny_backbone.parent.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    dataset = library.load_dataset(planted)
    with unprivileged(), pytest.raises(InputError, match="no permission to write there"):
        library.train(dataset, out=closed / "run", overrides=quick)
    assert not os.listdir(closed)


@pytest.mark.slow
def test_a_real_set_is_learned(ramen, tmp_path, real_data, tiny_backbone):
    data = real_data("LF-DebianMini")
    done = ramen("train", data, "--out", "run", f"encoder.backbone={tiny_backbone}", "graph.lambda=fixed")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["P@1"] > 20, done.stderr


def test_plan_says_what_a_run_needs(ramen, planted, quick):
    done = ramen("plan", str(planted), *quick)
    assert done.returncode == 0, done.stderr
    for told in (
        "240 points, 120 labels",
        "parameters: encoder",
        "encoder: 6 epochs of 2 batches",
        "memory, dense",
        "disk:",
        "time, encoder",
        "with dense classifiers",
    ):
        assert told in done.stdout
    assert "most exact dense classifiers that fit: dense.kind=full" in done.stdout
    assert "next: ramen train" in done.stderr
    assert "\ntime" not in ramen("plan", str(planted), "--quick", *quick).stdout


def test_plan_of_a_published_recipe_for_a_gpu_elsewhere(ramen, planted):
    told = ramen("plan", str(planted), "--preset", "LF-WikiSeeAlsoTitles-320K", "--gpu-memory", "80").stdout
    for line in (
        "parameters: encoder 66,",
        "DistilBERT's is assumed",
        "encoder: 300 epochs of 2 batches of 128 points: 600 steps, 600 updates, warm-up of 100, linear decay; hard",
        "in bfloat16",
        "GPU memory, encoder: ",
        "GPU memory, dense: ",
        "hours on one A100, at 40 % of its peak",
    ):
        assert line in told
    small = ramen("plan", str(planted), "--preset", "transformer", "--quick", "--gpu-memory", "1.2").stdout
    assert "does NOT fit" in small


def test_plan_without_dense_classifiers_does_not_say_that_none_fit(ramen, planted, quick):
    told = ramen("plan", str(planted), "--quick", "--preset", "fast", quick[0]).stdout
    assert "none are trained, as dense.epochs=0" in told and "most exact" not in told


def test_quiet_says_nothing_and_verbose_every_figure(ramen, planted, quick):
    done = ramen("train", planted, "--out", "quiet", "--quiet", "--track", "tensorboard", *quick)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = ramen("train", planted, "--out", "verbose", "--verbose", *quick)
    assert done.returncode == 0 and "stage encoder  " in done.stderr and "plan," not in done.stderr
    refused(ramen("train", planted, "--out", "both", "--quiet", "--verbose"), "--verbose and --quiet: expected one")
    refused(ramen("train", planted, "--out", "none", "--track", "nobody"), "--track 'nobody'")
