"""RAMEN for sparse classifiers: the prior of a label's weights, from its own text and its anchors' texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

MAX_DEGREE = 200  # labels of an anchor: those with more are left out


def word_prior(
    texts: sp.csr_matrix,
    graphs: Sequence[tuple[sp.csr_matrix, sp.csr_matrix, float]],
    strength: float,
    max_degree: int = MAX_DEGREE,
) -> sp.csr_matrix:
    """λ m_l with m_l = t_l + Σ_g weight_g · mean of the anchors' rows of l in graph g, float32 CSR (L, F).

    The sparse classifiers' weights are pulled towards these rows instead of zero. Only training reads the graphs:
    nothing of them is left when tagging.

    Args:
        texts: CSR (L, F), unit rows t_l of the labels' texts.
        graphs: for each graph its links, CSR (L, M); its anchors' unit rows, CSR (M, F); its weight.
        strength: λ.
        max_degree: anchors that more labels have say little of each and are left out.

    Example:
        >>> texts = sp.csr_matrix(np.eye(2, 3, dtype=np.float32))
        >>> links, anchors = sp.csr_matrix([[0.0], [1.0]]), sp.csr_matrix([[0.0, 0.0, 1.0]])
        >>> word_prior(texts, [(links, anchors, 0.5)], strength=2.0, max_degree=9).toarray().tolist()
        [[2.0, 0.0, 0.0], [0.0, 2.0, 1.0]]
    """
    total = texts
    for links, anchors, weight in graphs:
        degrees = np.bincount(links.indices, minlength=links.shape[1])
        specific = sp.csr_matrix(links @ sp.diags((degrees <= max_degree).astype(np.float32)))
        specific.eliminate_zeros()
        counts = np.diff(specific.indptr)
        total = total + sp.diags((weight / np.maximum(counts, 1)).astype(np.float32)) @ (specific @ anchors)
    prior = sp.csr_matrix(total * np.float32(strength), dtype=np.float32)
    prior.sort_indices()
    return prior
