"""The prior of the sparse head against loops."""

import numpy as np
import scipy.sparse as sp

from ramen.scorers.sparse.prior import word_prior

LABELS, ANCHORS, FEATURES = 12, 6, 9


def sparse(rng, rows, columns, density):
    return sp.random(rows, columns, density=density, format="csr", dtype=np.float32, rng=rng)


def test_text_plus_mean_of_the_anchors_without_hubs():
    rng = np.random.default_rng(0)
    texts, anchors = sparse(rng, LABELS, FEATURES, 0.3), sparse(rng, ANCHORS, FEATURES, 0.4)
    links = sparse(rng, LABELS, ANCHORS, 0.3)
    links.data[:] = 1
    links = links.tolil()
    links[:, 0] = 1  # a hub
    links[3] = 0  # a label without anchors
    links = links.tocsr()
    found = word_prior(texts, [(links, anchors, 0.5), (links, anchors, 0.25)], strength=2.0, max_degree=LABELS - 2)
    expected = texts.toarray()
    for label in range(LABELS):
        linked = [a for a in links[label].indices if links[:, a].nnz <= LABELS - 2]
        if linked:
            expected[label] += 0.75 * anchors[linked].toarray().mean(0)
    np.testing.assert_allclose(found.toarray(), 2 * expected, atol=1e-6)
    assert found.dtype == np.float32 and found.has_sorted_indices


def test_without_graphs_it_is_the_text():
    texts = sparse(np.random.default_rng(1), LABELS, FEATURES, 0.3)
    np.testing.assert_array_equal(word_prior(texts, [], 1.5, 200).toarray(), 1.5 * texts.toarray())


def test_nothing_linked_changes_nothing():
    rng = np.random.default_rng(1)
    texts, anchors = sparse(rng, LABELS, FEATURES, 0.3), sparse(rng, ANCHORS, FEATURES, 0.4)
    none = sp.csr_matrix((LABELS, ANCHORS), dtype=np.float32)
    np.testing.assert_array_equal(word_prior(texts, [(none, anchors, 1.0)], 1.0, 200).toarray(), texts.toarray())
