"""The joint ranking out of fold: never below a part, the weighted sum where there is too little to learn from."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

import ramen
from ramen.errors import InputError
from ramen.files import digest
from ramen.ranking.candidates import gather
from ramen.ranking.learned import LearnedRanking
from ramen.ranking.overlap import LabelWords
from ramen.ranking.pair_features import PairFeatures
from ramen.ranking.ranker import Ranker
from ramen.ranking.trees import Trees
from ramen.scorers.base import Queries
from ramen.scorers.encoder import EncoderScorer
from ramen.scorers.judge import GAIN
from ramen.training.held_out import METRICS, HeldOut
from ramen.training.ranker_search import SUM, RankerData, fit_ranker

LABELS, DIM, POINTS = 80, 16, 400


class Lines(list):
    def __call__(self, **figures):
        self.append(figures)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(autouse=True)
def one_model(monkeypatch, request):
    """Of the models only one is tried, but where a test asks for all: each takes two seconds."""
    if "every_model" not in request.fixturenames:
        monkeypatch.setattr("ramen.training.ranker_search._MODELS", (("lambdarank", 0.5),))


@pytest.fixture
def every_model():
    pass


class World:
    """Points near the vectors of one to three labels, and scorers by label vectors that are more or less right."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.good = unit(self.rng.normal(size=(LABELS, DIM)))
        self.popular = 1.0 / np.arange(3, LABELS + 3)

    def points(self, n=POINTS):
        """Queries, and what is right."""
        chosen = [
            self.rng.choice(LABELS, 1 + row % 3, replace=False, p=self.popular / self.popular.sum()) for row in range(n)
        ]
        truth = sp.lil_matrix((n, LABELS), dtype=np.float32)
        for row, labels in enumerate(chosen):
            truth[row, labels] = 1
        truth = truth.tocsr()
        noise = 0.25 * self.rng.normal(size=(n, DIM))
        return Queries(unit(truth @ self.good + noise), sp.csr_matrix((n, 1), dtype=np.float32)), truth

    def misleading(self):
        return EncoderScorer(self.good[self.rng.permutation(LABELS)])

    def noisy(self, size):
        return EncoderScorer(unit(self.good + size * self.rng.normal(size=self.good.shape)))

    def features(self, scorers, weights):
        words = LabelWords.of(np.zeros(1, np.int32), sp.csr_matrix((LABELS, 1), dtype=np.float32))
        return PairFeatures.of(scorers, weights, 1000 * self.popular, words)


def held_out_of(truth, filtered=None, filtered_at_test=None):
    filtered = sp.csr_matrix(truth.shape) if filtered is None else filtered
    return HeldOut(np.arange(truth.shape[0]), truth, filtered, np.ones(LABELS), filtered_at_test)


def data_of(world, scorers, queries, held_out):
    """What a ranking is learned from, by scorers of equal weight."""
    weights = dict.fromkeys(scorers, 1.0)
    return RankerData(held_out, held_out.gather(scorers, queries), queries, weights, world.features(scorers, weights))


def search(world, scorers, points=POINTS, learn=True):
    """What is chosen by fresh points, the lines of the log, and the ranker of that."""
    queries, truth = world.points(points)
    data, log = data_of(world, scorers, queries, held_out_of(truth)), Lines()
    params = fit_ranker(data, learn, 0, log)
    learned = None
    if params.trees:
        learned = LearnedRanking(Trees.read(params.trees), params.scale, data.features, np.array(params.by_sum), LABELS)
    return params, log, Ranker(scorers, data.weights, learned)


def measure(world, ranker):
    """Figures on fresh points, of the joint ranking under "", and of each scorer."""
    queries, truth = world.points()
    found = ranker.rank_each(queries, 10)[0]
    held_out = held_out_of(truth)
    return {name: held_out.judge(labels)[1] for name, labels in found.items()}


@pytest.mark.parametrize("seed", range(3))
def test_one_scorer_that_is_right_is_not_outvoted_by_three_that_mislead(seed):
    world = World(seed)
    scorers = {"right": world.noisy(0.05), **{f"wrong{number}": world.misleading() for number in range(3)}}
    params, log, ranker = search(world, scorers)
    assert params.trees and not [line for line in log if "warning" in line]
    figures = measure(world, ranker)
    plain = measure(world, Ranker(scorers, dict.fromkeys(scorers, 1.0)))
    assert plain[""]["P@1"] < figures["right"]["P@1"] - 5  # the sum is outvoted
    for name in METRICS:
        assert figures[""][name] > figures["right"][name] - 2.0
        assert params.figures[name] > params.scorers["right"][name] - 2.0
        assert params.figures[name] == pytest.approx(figures[""][name], abs=6.0)  # out of fold is what comes


@pytest.mark.parametrize("seed", range(3))
def test_scorers_that_are_equally_good_are_better_together(seed):
    world = World(seed)
    scorers = {f"s{number}": world.noisy(0.35) for number in range(4)}
    params, log, ranker = search(world, scorers)
    assert not [line for line in log if "warning" in line]
    figures = measure(world, ranker)
    for name in METRICS:
        assert figures[""][name] > max(figures[scorer][name] for scorer in scorers)


def test_a_scorer_that_is_ahead_of_the_joint_ranking_is_named():
    world = World(0)
    scorers = {"right": world.noisy(0.05), **{f"wrong{number}": world.misleading() for number in range(3)}}
    log = search(world, scorers, learn=False)[1]
    warned = [line for line in log if "warning" in line]
    assert "right alone has a higher P@1 than the joint ranking" in [line["warning"] for line in warned]
    assert all(line["errors"] > 2 for line in warned) and not [line for line in warned if "wrong" in line["warning"]]


@pytest.mark.parametrize(
    ("points", "learn", "said"),
    [(299, True, "299 held-out points, at least 300"), (POINTS, False, "ranking.learn=false")],
)
def test_the_weighted_sum_where_nothing_is_learnt(points, learn, said):
    world = World(0)
    params, log, _ = search(world, {"a": world.noisy(0.1), "b": world.noisy(0.2)}, points=points, learn=learn)
    assert params.trees is None and params.model == SUM and params.calibration
    assert said in log[0]["note"]


def test_probabilities_are_counted_without_pairs_that_the_test_part_would_filter():
    world = World(0)
    queries, truth = world.points()
    scorers = {"only": world.noisy(0.2)}
    half = truth.copy()
    half.data[world.rng.random(truth.nnz) < 0.5] = 0
    half.eliminate_zeros()
    known = []
    for filtered in (None, half):
        data = data_of(world, scorers, queries, held_out_of(truth, filtered_at_test=filtered))
        params = fit_ranker(data, False, 0, Lines())
        known.append(np.mean(params.calibration["probabilities"]))
    assert known[1] < 0.8 * known[0]


def test_one_scorer_only():
    world = World(0)
    params, log, ranker = search(world, {"only": world.noisy(0.3)})
    figures = measure(world, ranker)
    assert all(figures[""][name] > figures["only"][name] - 2 for name in METRICS)
    assert params.figures["P@1"] > 20 and not [line for line in log if "warning" in line]


def test_all_candidates_wrong_or_none_at_all():
    world = World(0)
    queries, truth = world.points()
    for wrong in (sp.csr_matrix(truth.shape, dtype=np.float32), truth):
        scorers, log = {"only": world.noisy(0.3)}, Lines()
        filtered = truth if wrong is truth else sp.csr_matrix(truth.shape)
        data = data_of(world, scorers, queries, held_out_of(wrong, filtered))
        data = replace(data, gathered=gather(scorers, queries, 20, filtered))
        params = fit_ranker(data, True, 0, log)
        assert params.trees is None and params.calibration is None
        assert "0 right labels among the candidates of held-out points, at least 100" in log[0]["note"]


def test_a_single_model_must_gain_over_the_mean_of_several(every_model):
    world = World(2)
    params, log, _ = search(world, {"a": world.noisy(0.2), "b": world.noisy(0.3)})
    tried = {line["model"]: np.prod([line[name] for name in METRICS]) ** 0.25 for line in log if "model" in line}
    single = {name for name in tried if not name.startswith("mean") and name != SUM}
    assert len(tried) == 7 and len(single) == 4
    assert params.model == max(tried, key=lambda name: tried[name] / (GAIN if name in single else 1))


def test_candidates_that_are_all_right():
    world, log = World(0), Lines()
    queries, _ = world.points()
    truth = sp.csr_matrix(np.ones((POINTS, LABELS), dtype=np.float32))
    data = data_of(world, {"only": world.noisy(0.3)}, queries, held_out_of(truth))
    params = fit_ranker(data, True, 0, log)
    assert params.trees is None and "0 wrong labels among the candidates" in log[0]["note"]


def test_right_labels_of_one_fold_only():
    world, log = World(0), Lines()
    queries, truth = world.points()
    queries.vectors[:150] = queries.vectors[0]  # alike, so in one fold
    truth = sp.csr_matrix(sp.diags((np.arange(POINTS) < 150).astype(np.float32)) @ truth)
    data = data_of(world, {"only": EncoderScorer(world.good)}, queries, held_out_of(truth))
    params = fit_ranker(data, True, 0, log)
    assert (
        params.trees is None and "all right labels among the candidates are of points that are alike" in log[0]["note"]
    )


def test_the_same_again_is_the_same_with_any_number_of_threads(threads):
    found = []
    for count in (1, 3):
        with threads(count):
            world = World(1)
            found.append(search(world, {"a": world.noisy(0.2), "b": world.noisy(0.3)})[0])
    assert found[0] == found[1]


@pytest.fixture
def run(learned_run, tmp_path):
    return shutil.copytree(learned_run, tmp_path / "run")


def change(run, edit):
    """Change ``ranking.json`` and let the manifest vouch for it."""
    path, manifest = run / "ranking/ranking.json", run / "manifest.json"
    facts, known = json.loads(path.read_text()), json.loads(manifest.read_text())
    edit(facts)
    path.write_text(json.dumps(facts))
    known["blake2b"]["ranking/ranking.json"] = digest(path)
    manifest.write_text(json.dumps(known))


def test_a_run_ranks_by_trees_and_says_so(run):
    facts, metrics = (json.loads((run / name).read_text()) for name in ("ranking/ranking.json", "metrics.json"))
    assert "trees" in metrics["chosen"]["ranking"] and facts["learned"]["scorers"] == sorted(facts["weights"])
    assert set(metrics["validation"]) == set(METRICS) and set(metrics["validation_of_scorers"]) == set(facts["weights"])
    (model,) = {line["model"] for line in map(json.loads, (run / "log.jsonl").open()) if line.get("model") == SUM}
    assert model == SUM


def test_trees_that_were_cut_or_ask_for_what_is_not_there(run):
    path = run / "ranking/trees.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"trees.safetensors: altered since training"):
        ramen.Tagger.load(run)
    known = json.loads((run / "manifest.json").read_text())
    known["blake2b"]["ranking/trees.safetensors"] = digest(path)
    (run / "manifest.json").write_text(json.dumps(known))
    with pytest.raises(InputError, match=r"trees.safetensors: not a safetensors file, or one cut short"):
        ramen.Tagger.load(run)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda facts: facts["learned"]["scorers"].append("oracle"),
            "found the scorer 'oracle', expected one of enc",
        ),
        (lambda facts: facts["learned"]["features"].pop(), "found features of another version"),
        (lambda facts: facts["learned"]["scorers"].append("encoder"), "scorers: found one twice"),
        (lambda facts: facts["learned"].pop("scale"), "learned: scale: found no such key, expected a number"),
        (lambda facts: facts["learned"].update(scale=float("nan")), "scale: found NaN, expected a number"),
        (
            lambda facts: facts["learned"].pop("scorers"),
            "learned: scorers: found no such key",
        ),
        (lambda facts: facts["learned"].pop("features"), "learned: features: found no such key"),
        (lambda facts: facts.update(learned=None), "ranking.json: learned: found null, expected an object"),
        (lambda facts: facts.pop("learned"), "learned: expected exactly where there is a trees.safetensors"),
        (lambda facts: facts.pop("weights"), "ranking.json: weights: found no such key, expected an object of numbers"),
        (lambda facts: facts["weights"].update(encoder=float("nan")), 'weights: found {"encoder": NaN'),
        (lambda facts: facts["weights"].clear(), "ranking.json: weights: lacks 'encoder'"),
        (lambda facts: facts.clear(), "ranking.json: weights: found no such key"),
        (lambda facts: facts.update(calibration=5), "ranking.json: calibration: found 5, expected an object"),
        (lambda facts: facts["calibration"]["scores"].pop(), "calibration: found lists of different lengths"),
    ],
)
def test_a_ranking_that_is_not_what_training_wrote(run, edit, message):
    change(run, edit)
    with pytest.raises(InputError) as caught:
        ramen.Tagger.load(run)
    assert message in str(caught.value) and "ranking.json" in str(caught.value)


def replace_arrays(run, name, edit):
    path = run / "ranking" / name
    arrays = load_file(path)
    edit(arrays)
    save_file(arrays, path)
    known = json.loads((run / "manifest.json").read_text())
    known["blake2b"][f"ranking/{name}"] = digest(path)
    (run / "manifest.json").write_text(json.dumps(known))


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("trees.safetensors", lambda arrays: arrays.pop("values"), "values"),
        (
            "trees.safetensors",
            lambda arrays: arrays.update(roots=arrays["roots"].astype("i8")),
            "roots: found int64",
        ),
        (
            "trees.safetensors",
            lambda arrays: arrays.update(values=arrays["values"][:-1].copy()),
            "leaf_counts: found ",
        ),
        ("labels.safetensors", lambda arrays: arrays.pop("by_sum"), "by_sum"),
        (
            "labels.safetensors",
            lambda arrays: arrays.update(by_sum=np.zeros((3, 1))),
            "by_sum: found float64 of shape",
        ),
        ("labels.safetensors", lambda arrays: arrays.update(by_sum=np.array([[2.0, 1], [0, 0]])), "that ascend"),
        ("labels.safetensors", lambda arrays: arrays.pop("texts.words"), "texts.words"),
        (
            "labels.safetensors",
            lambda arrays: arrays["texts.words"].fill(10**9),
            "texts.words: found 1000000000",
        ),
        (
            "labels.safetensors",
            lambda arrays: arrays["titles.grams"].fill(10**9),
            "titles.grams: found 1000000000",
        ),
        ("labels.safetensors", lambda arrays: arrays["titles.starts"][1:2].fill(10**9), "titles.starts: found "),
        (
            "labels.safetensors",
            lambda arrays: arrays["columns"].fill(10**9),
            "expected numbers from -1 to",
        ),
        (
            "labels.safetensors",
            lambda arrays: arrays["texts.starts"].__setitem__(1, 10**9),
            "texts.starts: found ",
        ),
        (
            "labels.safetensors",
            lambda arrays: arrays["texts.in_title"].fill(5),
            "texts.in_title: found 5",
        ),
        ("labels.safetensors", lambda arrays: arrays["counts"].fill(-3), "counts: found -3"),
        (
            "labels.safetensors",
            lambda arrays: arrays.update({"titles.idf": arrays["titles.idf"][:9].copy()}),
            "titles.idf: found float32 of shape (9,), expected float32 of shape (262144)",
        ),
        (
            "labels.safetensors",
            lambda arrays: arrays.update(counts=np.zeros(3, "f4")),
            "counts: found float32 of shape (3,)",
        ),
    ],
)
def test_arrays_that_are_not_what_training_wrote(run, name, edit, message):
    replace_arrays(run, name, edit)
    with pytest.raises(InputError) as caught:
        ramen.Tagger.load(run)
    assert message in str(caught.value) and name in str(caught.value)


def test_a_ranking_whose_files_are_gone(run):
    known = json.loads((run / "manifest.json").read_text())
    for name in ("labels.safetensors", "trees.safetensors"):
        (run / "ranking" / name).unlink()
        del known["blake2b"][f"ranking/{name}"]
        (run / "manifest.json").write_text(json.dumps(known))
        with pytest.raises(InputError, match="ranking"):
            ramen.Tagger.load(run)


def test_a_lightgbm_that_does_not_load_is_named(planted, tmp_path, monkeypatch, quick):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/lightgbm.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "broken")
    with pytest.raises(InputError, match=r"ranking.learn=true\) needs LightGBM, which does not load: libgomp"):
        ramen.train(planted, out=tmp_path / "run", overrides=quick)
    assert not (tmp_path / "run").exists()


def test_without_lightgbm_the_command_to_type_is_named(planted, tmp_path, monkeypatch, quick):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(InputError, match=r"ranking.learn=true\) needs lightgbm, .* pip install 'ramen-xc\[train\]'"):
        ramen.train(planted, out=tmp_path / "run", overrides=quick)
    assert not (tmp_path / "run").exists()
    out = ramen.train(planted, out=tmp_path / "run", overrides=[*quick, "ranking.learn=false"])
    assert ramen.Tagger.load(out).run.ranker.learned is None
