"""The forecast of what a graph is worth, where the truth is known."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import ramen
from ramen.data.dataset import Dataset
from ramen.data.prepare import prepare
from ramen.encoders.word_features import WordFeatures
from ramen.graph.forecast import RELATIONS, Forecast, RelationSignal, forecast_lines, is_informative
from ramen.graph.prepare import prepare_links


def words(dataset: Dataset) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    texts = dataset.train.joined(), dataset.labels.joined()
    features = WordFeatures.fit([*texts[0], *texts[1]], "words")
    return features.transform(texts[0]), features.transform(texts[1])


def pairs_of(dataset: Dataset, seed: int = 0) -> Forecast:
    return Forecast(dataset.train_targets, *words(dataset), seed)


@pytest.fixture(scope="module")
def dataset(planted: Path) -> Dataset:
    return ramen.load_dataset(planted)


@pytest.mark.parametrize("seed", range(5))
def test_the_group_carries_and_chance_does_not(tmp_path, seed):
    dataset = ramen.load_dataset(prepare("planted", tmp_path / "planted", points=300, labels=120, seed=seed))
    pairs = pairs_of(dataset, seed)
    links, noise = (pairs.of(dataset.graphs[kind].points, dataset.graphs[kind].labels) for kind in ("links", "noise"))
    assert [one.relation for one in links] == [one.relation for one in noise] == list(RELATIONS)
    for one in links:
        assert one.errors > 6 and one.extra > 40 and one.true > 50, one
        assert one.extra == pytest.approx(one.true - one.wrong) and one.pairs > 100 and one.unmatched < 15
    for one in noise:
        assert abs(one.errors) <= 3 and abs(one.extra) < 4, one
    assert is_informative(links) and not is_informative(noise)


def test_chance_stays_within_its_errors_over_many_graphs(dataset):
    """Hubs, too: anchors are drawn unevenly and some rows have many links."""
    pairs, rng = pairs_of(dataset), np.random.default_rng(0)
    anchors = 1.0 / np.arange(1, 61)
    found = []
    for _ in range(60):
        sides = []
        for rows in (len(dataset.train), dataset.n_labels):
            counts = np.minimum(rng.geometric(0.4, size=rows), 8)
            columns = rng.choice(60, p=anchors / anchors.sum(), size=counts.sum())
            ends = np.repeat(np.arange(rows), counts), columns
            sides.append(sp.csr_matrix((np.ones(len(columns), dtype=np.float32), ends), shape=(rows, 60)))
        found.append(pairs.of(*sides))
    errors = np.array([[one.errors for one in graph] for graph in found])
    assert np.abs(errors.mean(axis=0)).max() < 0.4
    assert (0.4 < errors.std(axis=0)).all() and (errors.std(axis=0) < 1.3).all()
    assert sum(map(is_informative, found)) <= 1


def test_links_that_repeat_the_text_carry_nothing(dataset):
    """An anchor for each rarer word: related rows share far more of them than others do, unless of like text."""
    sides = words(dataset)
    frequency = sum(np.bincount(side.indices, minlength=side.shape[1]) for side in sides)
    rare = sp.diags((frequency < 30).astype(np.float32))
    links = [sp.csr_matrix(side @ rare) for side in sides]
    found = pairs_of(dataset).of(*links)
    for one, side in zip(found, links, strict=False):
        raw = one.true - 100 * ((side @ side.T).toarray() > 0).mean()
        assert raw > 15 and abs(one.extra) < 4 and abs(one.errors) < 3, one
    assert not is_informative(found)


def test_one_side_gives_its_own_relation(dataset):
    pairs, graph = pairs_of(dataset), dataset.graphs["links"]
    assert [one.relation for one in pairs.of(graph.points, None)] == ["points"]
    assert [one.relation for one in pairs.of(None, graph.labels)] == ["labels"]
    assert pairs.of(None, None) == []


def test_same_seed_same_figures(dataset):
    links = dataset.graphs["links"].points, dataset.graphs["links"].labels
    found = pairs_of(dataset, 3).of(*links)
    assert found == pairs_of(dataset, 3).of(*links) and found != pairs_of(dataset, 4).of(*links)


def test_the_arguments_are_left_alone(dataset):
    graph = dataset.graphs["links"]
    given = [graph.points, graph.labels, dataset.train_targets, *words(dataset)]
    before = [matrix.copy() for matrix in given]
    Forecast(*given[2:]).of(*given[:2])
    for matrix, old in zip(given, before, strict=True):
        assert np.array_equal(matrix.data, old.data) and np.array_equal(matrix.indices, old.indices)


def test_no_edges_carry_nothing(dataset):
    empty = sp.csr_matrix((len(dataset.train), 5), dtype=np.float32), sp.csr_matrix((dataset.n_labels, 5))
    found = pairs_of(dataset).of(*empty)
    assert len(found) == 3 and all(one.true == one.wrong == one.extra == one.errors == 0 for one in found)
    assert not is_informative(found)


@pytest.mark.parametrize("targets", [np.zeros((30, 4)), np.ones((30, 1)), np.zeros((30, 0)), np.eye(1)])
def test_without_pairs_to_compare_a_graph_has_the_benefit_of_the_doubt(targets):
    """No pairs at all, and one label that all points have: nothing is wrong."""
    n_points, n_labels = targets.shape
    texts = [sp.csr_matrix(np.ones((n, 1), dtype=np.float32)) for n in (n_points, n_labels)]
    found = Forecast(sp.csr_matrix(targets), *texts).of(*texts)
    assert found == [] and is_informative(found)


def test_excluded_pairs_are_neither_true_nor_wrong():
    """Point i is label i, with the same text and anchor; its true label is the next one, and shares nothing."""
    n = 200
    same = sp.identity(n, dtype=np.float32, format="csr")
    targets = sp.csr_matrix(np.roll(np.eye(n, dtype=np.float32), 1, axis=1))
    (with_self,) = (one for one in Forecast(targets, same, same).of(same, same) if one.relation == "between")
    (without,) = (one for one in Forecast(targets, same, same, 0, same).of(same, same) if one.relation == "between")
    assert (with_self.true, without.true, without.wrong) == (0, 0, 0)
    both = Forecast(sp.csr_matrix(targets + same), same, same, 0, same).of(same, same)
    assert [one for one in both if one.relation == "between"] == [without]


def test_carries_asks_for_size_and_certainty():
    def one(extra: float, errors: float) -> RelationSignal:
        return RelationSignal("points", 10.0, 10.0 - extra, extra, errors, 100, 0.0)

    assert is_informative([one(0.1, 9.0), one(5.0, 4.0)])
    for found in ([one(0.4, 9.0)], [one(9.0, 2.9)], [one(-9.0, -9.0)], [one(0.4, 9.0), one(9.0, 2.9)]):
        assert not is_informative(found)


def test_the_lines_of_a_data_set(dataset):
    lines = forecast_lines(dataset)
    assert [line.split(":")[0] for line in lines] == ["graph links"] * 3 + ["graph noise"] * 4
    assert lines[0].startswith("graph links: points that share a label share an anchor in ")
    assert lines[0].endswith("standard errors)")
    assert lines[-1] == "graph noise: uninformative, adds nothing about the labels to the text"


def test_a_set_too_small_to_compare_has_no_lines(small_set):
    small = ramen.load_dataset(small_set)
    assert forecast_lines(small) == []
    small.graphs.clear()
    assert forecast_lines(small) == []


def test_the_links_are_read_as_training_reads_them(dataset):
    """Without anchors that have no text."""
    graph = dataset.graphs["links"]
    blank = type(graph)("links", [""] * len(graph.anchors), graph.points, graph.labels)
    assert prepare_links(blank).edges == 0
    changed = type(dataset)(**{**vars(dataset), "graphs": {"links": blank}})
    assert forecast_lines(changed)[-1].endswith("uninformative, adds nothing about the labels to the text")
