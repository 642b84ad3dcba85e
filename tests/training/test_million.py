"""The preset for a million labels, on a small set: no dense scorer, nothing trained twice, words of the anchors."""

import json

import numpy as np
import pytest

import ramen
from ramen.checkpoint import Checkpoint
from ramen.config import load_config
from ramen.data.prepare import prepare
from ramen.errors import InputError


@pytest.fixture(scope="module")
def settings(tiny_backbone):
    return [f"encoder.backbone={tiny_backbone}", "training.min_steps=8", "graph.min_steps=8", "encoder.dim=16"]


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """A planted set whose test words mostly occur in anchors alone."""
    return prepare("planted", tmp_path_factory.mktemp("linked") / "set", points=600, labels=300)


@pytest.fixture(scope="module")
def run(linked, tmp_path_factory, settings):
    return ramen.train(
        linked, preset="million", graphs="links", out=tmp_path_factory.mktemp("run") / "run", overrides=settings
    )


def test_the_anchors_words_find_labels_that_no_text_names(run, linked, tmp_path, settings):
    figures = json.loads((run / "metrics.json").read_text())
    assert set(figures["scorers"]) <= {"encoder", "neighbours", "sparse"}
    assert ramen.load_encoder(run).encode(["a text"]).shape == (1, 16)
    plain = ramen.train(
        linked, preset="million", graphs="links", out=tmp_path / "plain", overrides=[*settings, "graph.words=false"]
    )
    without = json.loads((plain / "metrics.json").read_text())
    assert figures["test"]["R@10"] > 1.15 * without["test"]["R@10"]


def test_the_encoder_is_trained_once(run):
    epochs = [line["epoch"] for line in map(json.loads, (run / "log.jsonl").open()) if line["stage"] == "encoder"]
    assert epochs == sorted(set(epochs))


def test_a_stopped_run_goes_on_to_the_same_figures(run, linked, tmp_path, monkeypatch, settings):
    """Stopped after the search, when scorers are fitted but not saved, and taken up again."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(
            "ramen.training.run_folder.RunFolder.save", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            ramen.train(linked, preset="million", graphs="links", out=out, overrides=settings)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", lambda *args, **kwargs: pytest.fail("trained again"))
        ramen.train(linked, preset="million", graphs="links", out=out, overrides=settings, resume=True)
    first, second = (json.loads((folder / "metrics.json").read_text()) for folder in (run, out))
    assert first == second


def test_without_held_out_points_it_trains_on_all(linked, tmp_path, settings):
    words = [*settings, "validation.share=0"]
    run = ramen.train(linked, preset="million", graphs="none", out=tmp_path / "run", overrides=words)
    assert json.loads((run / "metrics.json").read_text())["validation"] == {}


def test_fewer_directions_keep_the_cosines_that_they_can(linked):
    from ramen.encoders.static import _main_directions

    rng = np.random.default_rng(0)
    flat = (rng.normal(size=(50, 4)) @ rng.normal(size=(4, 20))).astype(np.float32)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    kept = _main_directions(flat, 4)
    np.testing.assert_allclose(kept @ kept.T, flat @ flat.T, atol=1e-4)
    assert _main_directions(flat, 0) is flat
    with pytest.raises(InputError, match="encoder.dim=21: the backbone's vectors have 20 dimensions"):
        _main_directions(flat, 21)


def test_it_is_a_preset():
    assert load_config("million").dense.epochs == 0
