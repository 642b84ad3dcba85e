"""``ramen.train_from``: going on from a finished run with more data or other labels, without its search."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import ramen
from ramen.data import Dataset
from ramen.encoders.distilled import SEEN, read_seen
from ramen.errors import InputError
from ramen.files import digest
from ramen.inference.labels import add_labels
from ramen.inference.run import load_run
from ramen.training import train as training
from ramen.training.going_on import params_of_start, settings_of
from ramen.training.start import SEARCH, dense_weights, is_new, log_seen_test

FEW = ["training.epochs=1"]


def some_points(data: Dataset, rows: np.ndarray) -> Dataset:
    """The data set with some of its training points."""
    texts = (data.train.uids, data.train.titles, data.train.contents)
    graphs = {
        kind: dataclasses.replace(graph, points=None if graph.points is None else graph.points[rows])
        for kind, graph in data.graphs.items()
    }
    return dataclasses.replace(
        data, train=type(data.train)(*([part[row] for row in rows.tolist()] for part in texts)),
        train_targets=data.train_targets[rows], train_filter=np.empty((0, 2), dtype=np.int64), graphs=graphs,
    )  # fmt: skip


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def notes(run: Path) -> str:
    return "\n".join(str(line.get("note") or line.get("warning") or "") for line in lines(run))


def chosen(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())["chosen"]


def search_of(run: Path) -> dict:
    return json.loads((run / "encoder" / SEARCH).read_text())


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory, finished_run, planted):
    """A run that went on from ``finished_run`` on the same data."""
    return ramen.train_from(finished_run, planted, out=tmp_path_factory.mktemp("runs") / "on")


@pytest.fixture(scope="module")
def learned_on(tmp_path_factory, learned_run):
    """Half the points of a run with a learned ranking, and a run on all of them that went on from it."""
    folder = tmp_path_factory.mktemp("runs")
    data = ramen.load_dataset(learned_run.parent / "planted")
    half = some_points(data, np.arange(0, len(data.train), 2))
    words = [word for word in settings(learned_run) if word.startswith("encoder.backbone=")]
    first = ramen.train(half, out=folder / "half", overrides=[*words, *QUICK])
    return first, data, ramen.train_from(first, data, out=folder / "whole")


QUICK = ["training.epochs=3", "training.min_steps=12", "graph.min_steps=12", "dense.epochs=2", "graph.lambda=fixed",
         "sparse.choose=false"]  # fmt: skip


def settings(run: Path) -> list[str]:
    from ramen.config import read_config

    return [f"encoder.backbone={read_config(run / 'config.yaml').encoder.backbone}"]


def test_what_was_searched_is_taken_over(finished_run, trained_on):
    before, after = search_of(finished_run), search_of(trained_on)
    assert after["graphs"] == before["graphs"]
    assert after["scorers"].keys() == before["scorers"].keys()
    for name in ("neighbours", "sparse"):
        assert after["scorers"].get(name) == before["scorers"].get(name)
    for part in ("weights", "trees", "calibration", "thresholds"):
        assert after["ranker"][part] == before["ranker"][part]
    assert not any(line["stage"] == "search" for line in lines(trained_on))
    assert "0 of 240 points are new" in notes(trained_on) and f"that of {finished_run} is kept" in notes(trained_on)
    assert ramen.Tagger.load(trained_on).tag(["a text"], k=3)


def test_the_encoder_goes_on_for_a_fifth_of_its_epochs(finished_run, trained_on):
    schedules = [line for line in lines(trained_on) if line["stage"] == "schedule"]
    whole = [line for line in lines(finished_run) if line["stage"] == "schedule"]
    assert len(schedules) == 1 and schedules[0]["epochs"] == whole[-1]["epochs"]  # that of the refit
    assert len(whole) > 2
    vectors = [load_run(run).ranker.scorers["encoder"].weights.block(0, 9) for run in (finished_run, trained_on)]
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(finished_run, trained_on, planted, tmp_path, monkeypatch):
    fit, out = training.fit, tmp_path / "run"

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        ramen.train_from(finished_run, planted, out=out)
    monkeypatch.setattr(training, "fit", fit)
    with pytest.raises(InputError, match="other settings"):
        ramen.train_from(trained_on, planted, out=out, resume=True)
    ramen.train_from(finished_run, planted, out=out, resume=True)
    first, second = (json.loads((run / "metrics.json").read_text()) for run in (trained_on, out))
    assert first == second


def test_the_ranking_is_learned_from_new_points_alone(learned_on):
    first, data, second = learned_on
    new = set(data.train.uids[1::2])
    said = notes(second)
    assert f"{len(new):,} of {len(data.train):,} points are new: the ranking is learned from some of these" in said
    config = settings_of(first)
    assert np.array_equal(is_new(config, data), np.arange(len(data.train)) % 2 == 1)
    assert search_of(second)["ranker"]["calibration"] != search_of(first)["ranker"]["calibration"]
    seen = read_seen(second / "encoder")
    assert len(seen) == 2 * len(data.train) and set(read_seen(first / "encoder")) < set(seen)


def test_new_points_are_told_by_uid_and_by_text(learned_on):
    first, data, _ = learned_on
    renamed = dataclasses.replace(
        data.train, uids=[f"other {uid}" for uid in data.train.uids[:3]] + data.train.uids[3:]
    )
    other = dataclasses.replace(data, train=renamed)
    expected = np.arange(len(data.train)) % 2 == 1
    np.testing.assert_array_equal(is_new(settings_of(first), other), expected)


def test_test_points_that_were_trained_on_are_told(learned_on):
    first, data, _ = learned_on
    said = []
    config = settings_of(first)
    log_seen_test(config, data, lambda **line: said.append(line))
    assert said == []
    log_seen_test(config, dataclasses.replace(data, test=data.train), lambda **line: said.append(line["warning"]))
    assert f"of {len(data.train):,} test points have a text that {first} was trained on" in said[0]


def test_no_points_held_out_keep_the_ranking(learned_on, tmp_path):
    first, data, _ = learned_on
    kept = ramen.train_from(first, data, out=tmp_path / "kept", overrides=["validation.share=0", *FEW])
    for part in ("weights", "trees", "features", "calibration"):
        assert search_of(kept)["ranker"][part] == search_of(first)["ranker"][part]
    assert (kept / "ranking" / "ranking.json").exists()


def with_labels(data: Dataset, kept: np.ndarray, names: list[str]) -> Dataset:
    """The data set with some of its labels, under these names."""
    labels = data.labels
    graphs = {kind: dataclasses.replace(graph, labels=graph.labels[kept]) for kind, graph in data.graphs.items()}
    texts = type(labels)(names, [labels.titles[row] for row in kept], [labels.contents[row] for row in kept])
    nothing = np.empty((0, 2), dtype=np.int64)
    return dataclasses.replace(
        data, labels=texts, train_targets=data.train_targets[:, kept], test_targets=data.test_targets[:, kept],
        train_filter=nothing, test_filter=nothing, graphs=graphs,
    )  # fmt: skip


def test_other_labels(finished_run, planted, tmp_path):
    data = ramen.load_dataset(planted)
    run = tmp_path / "before"
    shutil.copytree(finished_run, run)
    add_labels(run, [{"uid": "added", "text": "an added label"}])
    kept = np.arange(60)
    names = ["new", *(data.labels.uids[row] for row in kept[1:])]
    other = with_labels(data, kept, names)
    after = ramen.train_from(run, other, out=tmp_path / "after", overrides=FEW)
    said = notes(after)
    gone = len(data.labels) - 59
    assert f"labels: 59 of {run}, 1 new; {gone} are gone" in said
    assert f"{run}: 1 label added by ramen labels add, which the data does not have: left out" in said
    assert list(load_run(after).uids) == names
    none = with_labels(data, kept, [f"none {row}" for row in kept])
    assert "none of its" in notes(ramen.train_from(run, none, out=tmp_path / "none", overrides=FEW))


def test_thresholds_follow_their_labels(finished_run, planted, tmp_path):
    data, run = ramen.load_dataset(planted), tmp_path / "before"
    shutil.copytree(finished_run, run)
    stored = search_of(run)
    stored["ranker"]["thresholds"] = {"common": 0.5, "labels": [0, 3, 7], "values": [0.1, 0.3, 0.7]}
    (run / "encoder" / SEARCH).write_text(json.dumps(stored))
    kept = np.array([7, 5, 3])
    other = with_labels(data, kept, [data.labels.uids[row] for row in kept])
    config = settings_of_unchecked(run)
    rest = {"texts": {}, "tokens": {}, "filtered": other.train_targets}
    params = params_of_start(training.TrainingData(other, config, **rest), lambda **_: None)
    assert params.ranker.thresholds == {"common": 0.5, "labels": [0, 2], "values": [0.7, 0.3]}


def settings_of_unchecked(run: Path):
    """Settings of a run whose files beside the encoder were changed, as if it had been written so."""
    manifest = json.loads((run / "manifest.json").read_text())
    for name in (SEARCH, SEEN):
        manifest["blake2b"][f"encoder/{name}"] = digest(run / "encoder" / name)
    (run / "manifest.json").write_text(json.dumps(manifest))
    return settings_of(run)


def test_damaged_files_are_one_error(finished_run, planted, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    whole = (run / "encoder" / SEARCH).read_text()
    for text in ("{}", "[]", "no", whole.replace('"scorers": {', '"scorers": {"none": {}, ', 1)):
        (run / "encoder" / SEARCH).write_text(text)
        with pytest.raises(InputError, match=SEARCH):
            settings_of_unchecked(run)
    (run / "encoder" / SEARCH).write_text(whole)
    for arrays in ({"digests": np.zeros(3)}, {"others": np.zeros(3, np.uint64)}, None):
        (run / "encoder" / SEEN).write_bytes(b"no" if arrays is None else save(arrays))
        with pytest.raises(InputError, match=SEEN):
            is_new(settings_of_unchecked(run), ramen.load_dataset(planted))


@pytest.fixture(scope="module")
def dense_run(tmp_path_factory, planted, quick):
    """A run whose classifiers were trained with the encoder, so that it has some."""
    words = [*quick, "dense.joint=0.5", "validation.share=0"]
    return ramen.train(planted, out=tmp_path_factory.mktemp("runs") / "dense", graphs="none", overrides=words)


def test_dense_classifiers_of_the_same_labels_go_on(dense_run, planted, tmp_path):
    data = ramen.load_dataset(planted)
    trained = load_run(dense_run).trained["dense"]
    before = trained.weights.block(0, len(data.labels))
    vectors = np.eye(len(data.labels), trained.dim, dtype=np.float32)
    uids = ["new", *data.labels.uids[:0:-1]]
    weights = dense_weights(dense_run, uids, vectors)
    np.testing.assert_allclose(weights[1:], before[:0:-1])
    np.testing.assert_allclose(weights[0], vectors[0] @ trained.extension_map, atol=1e-6)
    for words in (["training.epochs=0"], ["dense.joint=0", *FEW]):
        after = ramen.train_from(dense_run, data, out=tmp_path / words[0], graphs="none", overrides=words)
        weights = load_run(after).trained["dense"].weights.block(0, len(data.labels))
        assert np.abs(weights - before).max() < 0.2 < np.abs(before - np.roll(before, 1, axis=0)).max()
    assert search_of(after)["scorers"]["dense"]["epochs"] == 0


def test_runs_trained_from_each_other_know_all_points(trained_on, finished_run, planted, tmp_path):
    data = ramen.load_dataset(planted)
    fewer = some_points(data, np.arange(100))
    again = ramen.train_from(trained_on, fewer, out=tmp_path / "again", overrides=FEW)
    np.testing.assert_array_equal(read_seen(again / "encoder"), read_seen(finished_run / "encoder"))
    (trained_on_copy := tmp_path / "copy").mkdir()
    shutil.copytree(finished_run / "encoder", trained_on_copy / "encoder")
    (trained_on_copy / "encoder" / SEEN).unlink()
    unknown = [f"encoder={trained_on_copy / 'encoder'}", "training.epochs=1", "dense.epochs=0", "sparse.passes=0"]
    run = ramen.train(planted, out=tmp_path / "unknown", graphs="none", overrides=unknown)
    assert not (run / "encoder" / SEEN).exists()
    asked = ramen.train_from(run, planted, out=tmp_path / "asked", overrides=FEW)
    assert f"{run} does not say what its encoder was trained on" in notes(asked)


def test_graphs(finished_run, planted, tmp_path):
    data = ramen.load_dataset(planted)
    more = dataclasses.replace(data, graphs={**data.graphs, "more": data.graphs["links"]})
    with pytest.raises(InputError, match="without the graph 'more'.*its own .links.*encoder="):
        ramen.train_from(finished_run, more, out=tmp_path / "refused", graphs="links,more")
    assert not (tmp_path / "refused").exists()
    run = ramen.train_from(finished_run, more, out=tmp_path / "run", overrides=FEW)
    assert "without the graphs that it was not trained with: more" in notes(run)
    none = ramen.train_from(finished_run, data, out=tmp_path / "none", graphs="none", overrides=FEW)
    assert "without the graphs that it was trained with: links" in notes(none)
    assert search_of(none)["graphs"]["lambdas"] == {}


def test_bad_input_is_one_error(finished_run, planted, tmp_path):
    def refused(start, match, *overrides):
        with pytest.raises(InputError, match=match):
            ramen.train_from(start, planted, out=tmp_path / "out", overrides=overrides)
        assert not (tmp_path / "out").exists()

    refused(tmp_path / "none", "found nothing there")
    refused(finished_run, "encoder.kind=transformer .* has the encoder static", "encoder.kind=transformer")
    refused(finished_run, "has the encoder static", f"encoder={finished_run}")
    refused(finished_run, "trains on all points", "validation.refit=false")
    refused(finished_run, "its ranking has the scorer sparse", "sparse.passes=0")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(finished_run, unfinished)
    (unfinished / "manifest.json").unlink()
    refused(unfinished, "found an unfinished run")
    old = tmp_path / "old"
    shutil.copytree(finished_run, old)
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["blake2b"][f"encoder/{SEARCH}"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    (old / "encoder" / SEARCH).unlink()
    refused(old, f"encoder={old} starts from its encoder alone")
    altered = tmp_path / "altered"
    shutil.copytree(finished_run, altered)
    (altered / "encoder" / SEARCH).write_text("{}")
    refused(altered, "altered since training")
    bags = tmp_path / "bags"
    shutil.copytree(finished_run, bags)
    shutil.rmtree(bags / "encoder")
    (bags / "encoder").mkdir()
    refused(bags, "trained on bags of words")


def test_the_command(finished_run, planted, ramen_here, tmp_path):
    out = tmp_path / "run"
    done = ramen_here("train", planted, "--from", finished_run, "--out", out, "--quiet", *FEW)
    assert done.returncode == 0, done.stderr
    assert (out / "manifest.json").exists() and chosen(out)["graphs"] == chosen(finished_run)["graphs"]
    done = ramen_here("train", planted, "--from", finished_run, "--preset", "fast", "--out", tmp_path / "no")
    assert done.returncode == 2 and "--preset fast: with --from" in done.stderr
