"""``wnet`` as a user runs it."""

import json
import logging
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from attention_wnet.cli import app
from ramen.cli.exits import exits

COMMAND = [sys.executable, "-m", "attention_wnet.cli"]


def wnet(*arguments, cwd):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=120)


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """``wnet`` in this process, in ``tmp_path``: a process a call is seconds of imports each."""

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["wnet", *map(str, arguments)])
        monkeypatch.setattr(logging.getLogger("ramen"), "handlers", [])  # "train" adds one
        with pytest.raises(SystemExit) as left:
            exits(app, "wnet")
        out, errors = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, left.value.code, out, errors)

    return run


def test_train(call, plain_set, small, tmp_path):
    done = call("train", plain_set, "--out", "run", *small[:3], "train.steps=2", *small[4:])
    assert done.returncode == 0, done.stderr
    assert "validation: F1" in done.stderr
    assert done.stderr.rstrip().endswith(f"next: wnet eval run --data {plain_set}")
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.slow
def test_train_and_segment_from_a_shell(plain_set, small, eye, tmp_path):
    done = wnet("train", plain_set, "--out", "run", *small, cwd=tmp_path)
    assert done.returncode == 0 and "validation: F1" in done.stderr, done.stderr
    eye(5)[0].save(tmp_path / "eye.png")
    done = wnet("segment", "run", "eye.png", "--out", "found", cwd=tmp_path)
    assert done.returncode == 0 and "of the field of view is vessel" in done.stdout, done.stderr
    assert not done.stderr


def test_eval(call, run, plain_set, tmp_path):
    done = call("eval", run, "--data", plain_set, "--json", "s.json", "--maps", "maps")
    assert done.returncode == 0, done.stderr
    for row in ("| field of view | model |", "| whole frame | model |", "| field of view | second observer | - |"):
        assert row in done.stdout
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["photographs"] == 2
    assert set(found["view"]["model"]) == {"auc", "f1", "sensitivity", "specificity", "accuracy"}
    assert found["frame"]["model"]["f1"]["low"] <= found["frame"]["model"]["f1"]["value"]
    kinds = ("probability", "vessels", "view", "overlay")
    expected = sorted(f"eye{index}_{kind}.png" for index in range(2) for kind in kinds)
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == expected


@pytest.mark.parametrize("name", ["one.jpg", "one.tif"])
def test_segment(call, run, eye, tmp_path, name):
    eye(5, (150, 90))[0].save(tmp_path / name)
    done = call("segment", run, name, "--out", "found", "--threshold", "0.2")
    assert done.returncode == 0, done.stderr
    assert "of the field of view is vessel" in done.stdout and "read at 0." in done.stdout
    shapes = {path.name: np.asarray(Image.open(path)).shape for path in (tmp_path / "found").iterdir()}
    assert shapes == {
        "one_probability.png": (90, 150),
        "one_vessels.png": (90, 150),
        "one_view.png": (90, 150),
        "one_overlay.png": (90, 150, 3),
    }
    read = {kind: np.asarray(Image.open(tmp_path / "found" / f"one_{kind}.png")) for kind in ("vessels", "view")}
    probability = np.asarray(Image.open(tmp_path / "found" / "one_probability.png"))
    assert not (read["vessels"] & ~read["view"]).any()
    clear = np.abs(probability - 51.0) > 1
    assert ((probability > 51) & read["view"])[clear].tolist() == read["vessels"][clear].tolist()


def test_all_that_is_no_vessel_is_an_empty_mask(call, run, eye, tmp_path):
    eye(5)[0].save(tmp_path / "eye.png")
    done = call("segment", run, "eye.png", "--out", "found", "--threshold", "1")
    assert done.returncode == 0 and "0.0% of the field of view is vessel" in done.stdout
    assert not np.asarray(Image.open(tmp_path / "found" / "eye_vessels.png")).any()


def _hear():
    """In a child: a shell lets its background jobs ignore SIGINT, and they pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_a_stopped_run_says_how_it_goes_on(plain_set, small, tmp_path):
    arguments = [
        "train",
        str(plain_set),
        "--out",
        "run",
        *small[:-3],
        "train.steps=5000",
        "train.batch_size=4",
        "train.check_every=2",
        "train.patience=5000",
    ]
    process = subprocess.Popen(
        [*COMMAND, *arguments], stderr=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=_hear
    )
    for _ in range(600):
        time.sleep(0.1)
        if (tmp_path / "run" / "training.safetensors").exists() or process.poll() is not None:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"stopped; to go on: wnet train {plain_set} --out run" in errors
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.yaml", "training.safetensors", "view"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "none", "--out", "new"], "none: missing, expected the folder of a data set"),
        (["train", "SET", "--out", "new", "model.filter=4"], "did you mean 'model.filters'"),
        (["train", "SET", "--out", "new", "stray"], "argument 'stray': expected key=value"),
        (["eval", "none", "--data", "SET"], "none: missing, expected a trained model"),
        (["eval", "RUN", "--data", "SET", "--split", "all"], "--split all: expected one of train, validation, test"),
        (["eval", "RUN", "--data", "SET", "--overlap", "1"], "--overlap 1.0: expected a share"),
        (["eval", "RUN", "--data", "SET", "--json", "no/s.json"], "--json no/s.json: folder no is missing"),
        (["segment", "RUN", "text.png", "--out", "f"], "text.png: not a picture"),
        (["segment", "RUN", "none.png", "--out", "f"], "none.png: missing, expected a picture"),
        (["segment", "RUN", "tiny.png", "--out", "f"], "tiny.png: found 1 x 1 pixels"),
        (["segment", "RUN", "a/x.png", "b/x.png", "--out", "f"], "another photograph is called x too"),
        (["segment", "RUN", "eye.png", "--out", "text.png"], "text.png: found a file, expected a folder"),
        (["segment", "RUN", "eye.png", "--out", "f", "--scale", "0"], "--scale 0.0: expected a number above 0"),
        (["segment", "text.png", "eye.png", "--out", "f"], "text.png: damaged, or no model file"),
        (["segmet"], "No such command 'segmet'"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(call, run, plain_set, eye, tmp_path, arguments, message):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")
    eye(0)[0].save(tmp_path / "eye.png")
    words = {"SET": str(plain_set), "RUN": str(run)}
    done = call(*(words.get(word, word) for word in arguments))
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert done.stderr.startswith("wnet: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists() and not (tmp_path / "f").exists()


def test_a_wrong_call_from_a_shell(tmp_path):
    done = wnet("segmet", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("wnet: No such command 'segmet'"), done.stderr


def test_help_ends_with_two_examples(call):
    for verb in ("train", "eval", "segment"):
        lines = call(verb, "--help").stdout.rstrip().splitlines()
        assert lines[-3].strip() == "Examples:"
        assert all(line.strip().startswith(f"wnet {verb} ") for line in lines[-2:])


@pytest.mark.parametrize("library", ["skimage", "monai"])
def test_a_missing_library_names_the_command_to_type(run, eye, tmp_path, library):
    eye(0)[0].save(tmp_path / "p.png")
    code = f"import sys; sys.modules['{library}'] = None; from attention_wnet.cli import main; main()"
    command = [sys.executable, "-c", code, "segment", str(run), "p.png", "--out", "o"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    needs = f"finding vessels needs {library}, which is not installed: pip install 'ramen-xc[wnet]'"
    assert done.stderr == f"wnet: {needs}\n"
