"""Which edges are dropped, and whether held-out pairs agree."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from ramen.graph.prune import above, contradicted, edge_cosines


def random_links(rng, n=7, m=5, density=0.4):
    return sp.random(n, m, density, "csr", dtype=np.float32, rng=rng, data_rvs=lambda k: np.ones(k, np.float32))


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 1.0]))
def test_cosines_are_those_of_the_ends(seed, density):
    rng = np.random.default_rng(seed)
    links = random_links(rng, density=density)
    rows, anchors = rng.normal(size=(7, 4)).astype(np.float32), rng.normal(size=(5, 4)).astype(np.float32)
    scores = rows @ anchors.T
    plain = [scores[i, a] for i in range(7) for a in links.indices[links.indptr[i] : links.indptr[i + 1]]]
    np.testing.assert_allclose(edge_cosines(links, rows, anchors), np.array(plain, np.float32), rtol=1e-4, atol=1e-5)


def test_threshold_is_exclusive():
    assert above(np.array([-0.1, 0.0, 0.1]), 0.0).tolist() == [False, False, True]


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_contradicted_by_plain_search(seed):
    rng = np.random.default_rng(seed)
    edges, others, pairs = (random_links(rng, n, m, 0.3) for n, m in ((7, 5), (6, 5), (7, 6)))
    found = contradicted(edges, others, pairs)
    at = 0
    for i in range(7):
        partners = pairs.indices[pairs.indptr[i] : pairs.indptr[i + 1]]
        for anchor in edges.indices[edges.indptr[i] : edges.indptr[i + 1]]:
            wanted = -1 if not len(partners) else int(not any(others[p, anchor] for p in partners))
            assert found[at] == wanted
            at += 1


def test_a_graph_of_one_side_is_not_contradicted():
    links = random_links(np.random.default_rng(0))
    assert (contradicted(links, None, sp.csr_matrix((7, 3))) == -1).all()
