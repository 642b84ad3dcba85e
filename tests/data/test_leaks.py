"""A graph that knows the test part is refused."""

import numpy as np
import pytest
import scipy.sparse as sp

import ramen
from ramen.data.check import check
from ramen.data.dataset import Graph
from ramen.data.leaks import leaked_pairs, refuse_leaks
from ramen.data.write import write_dataset
from ramen.errors import InputError


@pytest.fixture
def leaking(planted):
    """The planted set with a graph whose anchors are the test points, linked to their own labels."""
    dataset = ramen.load_dataset(planted)
    links = sp.csr_matrix(dataset.test_targets.T, dtype=np.float32)
    dataset.graphs["answers"] = Graph("answers", [t.upper() for t in dataset.test.titles], None, links)
    return dataset


def test_the_planted_graphs_do_not_leak(planted):
    dataset = ramen.load_dataset(planted)
    refuse_leaks(dataset, sorted(dataset.graphs))
    assert not len(leaked_pairs(dataset.graphs["links"], dataset))


def test_anchors_that_are_test_points_with_their_labels_are_refused(leaking, tmp_path, quick):
    pairs = leaked_pairs(leaking.graphs["answers"], leaking)
    assert all(leaking.test_targets[row, label] for row, label in pairs)
    with pytest.raises(InputError, match="'answers': .* of 60 test points are anchors linked to their own labels"):
        ramen.train(leaking, out=tmp_path / "run", overrides=quick)
    assert not (tmp_path / "run").exists()
    refuse_leaks(leaking, ["links"])  # a graph that is left out is not asked about


def test_it_is_allowed_where_asked_for_and_check_says_so(leaking, tmp_path, quick):
    ramen.train(leaking, out=tmp_path / "run", graphs="answers", overrides=[*quick, "data.leaks=allow"])
    write_dataset(leaking, tmp_path / "data")
    warnings = check(tmp_path / "data").warnings
    assert any(line.startswith("60 test points have the title of an anchor of graph answers") for line in warnings)
    (warning,) = [line for line in warnings if "leaked by graph answers" in line]
    assert warning.split()[0] == str(len(leaked_pairs(leaking.graphs["answers"], leaking)))


def test_rows_of_test_points_are_refused(small_set, tmp_path, quick):
    (small_set / "graphs" / "colour_tst_X_Y.txt").write_text("1 2\n0:1\n")
    with pytest.raises(InputError, match=r"colour_tst_X_Y\.txt: graph rows of test points"):
        ramen.train(small_set, out=tmp_path / "run", overrides=quick)
    assert not (tmp_path / "run").exists()
