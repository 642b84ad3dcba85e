"""Training: learns, goes on where it stopped, keeps the best, stops early; the model's file."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score

from attention_wnet import pictures
from attention_wnet import train as training
from attention_wnet.config import ModelConfig, PatchesConfig, wnet_config
from attention_wnet.evaluate import evaluate
from attention_wnet.patches import Patches
from attention_wnet.segmenter import Segmenter, build
from attention_wnet.sets import read_sample, read_set
from attention_wnet.train import train
from ramen.errors import InputError


def _rows(out):
    return [json.loads(line) for line in (out / "log.json").read_text().splitlines()]


def test_what_a_run_leaves(run, plain_set):
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "log.json", "model.safetensors", "view"]
    assert [path.name for path in sorted((run / "view").iterdir())] == [f"eye{i}.png" for i in range(5)]
    rows = _rows(run)
    assert [row.get("step") for row in rows] == [2, 4, 6, 8, None]
    segmenter = Segmenter.load(run)
    assert segmenter.threshold == rows[-1]["threshold"] and 90 < segmenter.width < 112
    assert segmenter.config == ModelConfig(filters=4)


def test_a_stopped_run_goes_on_to_the_same_weights(run, plain_set, write_eyes, small, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    batch = training.Patches.batch

    def stopping(self, step, count):
        if step == 5:
            raise Stop
        return batch(self, step, count)

    monkeypatch.setattr(training.Patches, "batch", stopping)
    out = tmp_path / "run"
    with pytest.raises(Stop):
        train(plain_set, out, wnet_config(small))
    monkeypatch.undo()
    assert not (out / "model.safetensors").exists()
    with pytest.raises(InputError, match="holds a run of other data or settings"):
        train(plain_set, out, wnet_config([*small, "seed=1"]))
    with pytest.raises(InputError, match="holds a run of other data or settings"):
        train(write_eyes(tmp_path / "other"), out, wnet_config(small))
    train(plain_set, out, wnet_config(small))
    assert [row.get("step") for row in _rows(out)] == [2, 4, 6, 8, None]
    first, second = load_file(run / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(InputError, match="holds a finished run"):
        train(plain_set, out, wnet_config(small))


def test_a_damaged_state_is_named(plain_set, small, tmp_path):
    (tmp_path / "training.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(InputError, match=r"training.safetensors: damaged"):
        train(plain_set, tmp_path, wnet_config(small))


def test_training_stops_early_and_keeps_the_best(plain_set, small, tmp_path):
    words = [*small, "train.steps=60", "train.check_every=1", "train.patience=2", "train.lr=0.5"]  # far too fast
    train(plain_set, tmp_path / "run", wnet_config(words))
    losses = [row["validation"] for row in _rows(tmp_path / "run")[:-1]]
    assert len(losses) < 60 and len(losses) == losses.index(min(losses)) + 3


def test_seeds_tell_runs_apart(run, plain_set, small, tmp_path):
    train(plain_set, tmp_path / "run", wnet_config([*small, "seed=1"]))
    name = "first.weight"
    first, second = (load_file(out / "model.safetensors")[name] for out in (run, tmp_path / "run"))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_network_learns_a_batch_by_heart(plain_set, seed):
    drawn = Patches([read_sample(case) for case in read_set(plain_set, "train")], PatchesConfig(size=32), seed, False)
    grey, vessels = drawn.batch(0, 4)
    torch.manual_seed(seed)
    model = build(ModelConfig(filters=4, dropout=0.0)).train()
    adam = torch.optim.Adam(model.parameters(), lr=0.003)
    losses = []
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(grey), vessels)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        found = model(grey).softmax(1)[:, 1]
    assert roc_auc_score(vessels.numpy().ravel(), found.numpy().ravel()) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_short_run_finds_vessels(plain_set, tmp_path, seed):
    words = ["model.filters=4", "patches.size=48", "train.steps=120", "train.batch_size=8", "patches.checked=16"]
    words += ["train.check_every=20", "train.lr=0.01", "model.dropout=0.1", f"seed={seed}"]
    segmenter = train(plain_set, tmp_path / "run", wnet_config(words))
    found = evaluate(segmenter, plain_set, window=64, overlap=0.5)
    assert found["view"]["model"]["auc"]["value"] > 0.9
    assert found["view"]["model"]["f1"]["value"] > 0.6
    assert found["frame"]["model"]["accuracy"]["value"] > found["view"]["model"]["accuracy"]["value"], "black is easy"
    assert "auc" not in found["view"]["second"] and 0 < found["view"]["second"]["f1"]["value"] < 1


def test_windows_blend_to_what_one_window_gives(run, eye):
    """Within the windows' middles there is nothing to tell; towards their edges the network sees less."""
    segmenter = Segmenter.load(run)
    photograph = np.asarray(eye(3, (200, 150))[0])
    whole = segmenter.probabilities(photograph, window=208)
    blended = segmenter.probabilities(photograph, window=96, overlap=0.5)
    assert whole.shape == blended.shape == (150, 200) and whole.dtype == np.float32
    assert np.abs(whole - blended).mean() < 0.01
    assert np.ptp(whole) > 0


def test_large_photographs_are_read_at_the_trained_width(run, eye):
    segmenter = Segmenter.load(run)
    photograph, _ = eye(3)
    large = photograph.resize((448, 384))
    assert segmenter.scale(np.ones((384, 448), dtype=bool)) == pytest.approx(segmenter.width / 448)
    assert segmenter.scale(np.ones((96, 112), dtype=bool)) == 1
    found, expected = segmenter.probabilities(np.asarray(large)), segmenter.probabilities(np.asarray(photograph))
    assert found.shape == (384, 448)
    small = found[::4, ::4]
    assert np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.8


def test_the_file_says_what_it_holds(tmp_path):
    torch.manual_seed(0)
    config = ModelConfig(filters=4, attention=False)
    Segmenter(build(config), config, 0.37, 540.0).save(tmp_path / "model.safetensors")
    again = Segmenter.load(tmp_path)
    assert (again.config, again.threshold, again.width) == (config, 0.37, 540.0)
    assert not again.model.training


def test_model_files_of_another_shape_are_named(run, tmp_path):
    path = tmp_path / "model.safetensors"

    def refused():
        with pytest.raises(InputError) as caught:
            Segmenter.load(path)
        assert str(caught.value).startswith(f"{path}: ")
        return str(caught.value)

    assert "missing, expected a trained model" in refused()
    path.write_bytes(b"no weights")
    assert "damaged, or no model file" in refused()
    tensors = load_file(run / "model.safetensors")
    save_file(tensors, path)
    assert "not a model of wnet train" in refused()
    meta = {
        "model": {"filters": 10, "attention": True, "regularised": True, "dropout": 0.25},
        "threshold": 0.5,
        "width": 9,
    }
    save_file(tensors, path, metadata={"wnet": json.dumps(meta)})
    assert "is (4, 4, 3, 3), expected (10, 10, 3, 3)" in refused() or "expected (10,)" in refused()
    meta["model"].update(filters=4, attention=False)
    save_file(tensors, path, metadata={"wnet": json.dumps(meta)})
    assert "expected nothing: the model is of another shape" in refused()
    shutil.copy(run / "model.safetensors", path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged, or no model file" in refused()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.filter=8", "did you mean 'model.filters'"),
        ("data=elsewhere", "unknown key 'data'"),
        ("model.filters=0", "expected a whole number of at least 1"),
        ("model.dropout=1", "expected a number of at least 0 and below 1"),
        ("model.attention=7", "expected true or false"),
        ("patches.size=8", "expected a whole number of at least 16"),
        ("train.lr", "expected key=value"),
    ],
)
def test_settings_that_are_refused(word, message):
    with pytest.raises(InputError) as caught:
        wnet_config([word])
    assert message in str(caught.value)


def test_flips_are_the_mean_of_mirrored_readings(run, eye):
    segmenter = Segmenter.load(run)
    photograph = np.asarray(eye(3, (128, 128))[0])
    grey = pictures.ready(photograph)
    found = segmenter.probabilities(photograph, 1.0, 128, 0.0, flips=True)
    expected = [
        segmenter.of_grey(np.ascontiguousarray(np.flip(grey, axes)), 128, 0.0) for axes in ((), (0,), (1,), (0, 1))
    ]
    turned = [np.flip(of, axes) for of, axes in zip(expected, ((), (0,), (1,), (0, 1)), strict=True)]
    np.testing.assert_allclose(found, np.mean(turned, axis=0), atol=1e-5)
    assert np.abs(found - turned[0]).max() > 1e-3
