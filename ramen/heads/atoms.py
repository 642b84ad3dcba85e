"""Few numbers a vector: atoms that all vectors share, and the sparse codes of vectors over them.

A sum of a few atoms comes much nearer to a vector than its few largest coordinates do when there are more atoms than
dimensions and some look like the vectors themselves. Atoms are the main directions, of which any vector is a sum, and
the means of clusters of alike vectors; a code is found by orthogonal matching pursuit (Pati et al., 1993; with products
kept as in Rubinstein et al., 2008, "batch OMP").
"""

from __future__ import annotations

import numpy as np

from ramen.compiled import FAST, kernel
from ramen.mining.clusters import balanced_clusters
from ramen.threads import parallel_for

_ALIKE = 8  # vectors of a cluster, at least
_MOST = 6  # clusters, in dimensions
BLOCK = 16_384  # vectors whose products with all atoms are in memory at once


def make_atoms(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Atoms of some vectors, float32 (M, d) of unit length: d main directions and the means of up to 6 d clusters.

    They are rounded to float16, in which a file keeps them.

    Args:
        vectors: float32 (L, d).
        seed: of the clusters.
    """
    n, dim = vectors.shape
    directions = np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1].T
    clusters = np.zeros((0, dim), dtype=np.float32)
    wanted = most_atoms(n, dim) - dim
    if wanted:
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        assigned = balanced_clusters(vectors / lengths, -(-n // wanted), seed)
        clusters = np.zeros((int(assigned.max()) + 1, dim), dtype=np.float32)
        np.add.at(clusters, assigned, vectors / lengths)
        lengths = np.linalg.norm(clusters, axis=1, keepdims=True)
        clusters = clusters[lengths[:, 0] > 1e-6] / lengths[lengths[:, 0] > 1e-6]
    return np.concatenate([directions, clusters]).astype(np.float16).astype(np.float32)


def most_atoms(n: int, dim: int) -> int:
    """Atoms that :func:`make_atoms` makes of n vectors, at most."""
    clusters = min(n // _ALIKE, _MOST * dim)
    return dim + (1 << clusters.bit_length() - 1 if clusters > 1 else 0)


def sparse_codes(vectors: np.ndarray, atoms: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The sums of k atoms nearest to vectors, found one atom after the other.

    Args:
        vectors: float32 (L, d).
        atoms: float32 (M, d).
        k: atoms a vector, at most d.

    Returns:
        float32 (L, k) weights and int64 (L, k) atoms, ascending in each row; a weight is 0 where fewer do.

    Example:
        >>> atoms = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=np.float32)
        >>> weights, chosen = sparse_codes(np.array([[3.0, 4.0]], dtype=np.float32), atoms, 1)
        >>> weights.round(3).tolist(), chosen.tolist()
        ([[5.0]], [[2]])
    """
    vectors, atoms = (np.ascontiguousarray(array, dtype=np.float32) for array in (vectors, atoms))
    weights, chosen = np.zeros((len(vectors), k), dtype=np.float32), np.empty((len(vectors), k), dtype=np.int64)
    gram, squares = atoms @ atoms.T, np.square(vectors).sum(1)
    for start in range(0, len(vectors), BLOCK):
        part = slice(start, start + BLOCK)
        products, work = vectors[part] @ atoms.T, float(k * k * len(atoms))
        parallel_for(len(products), _pursue, products, gram, squares[part], weights[part], chosen[part], work=1 + work)
    return weights, chosen


@kernel(fastmath=FAST)
def _pursue(
    first: int, last: int, products: np.ndarray, gram: np.ndarray, squares: np.ndarray, out_weights: np.ndarray,
    out_atoms: np.ndarray,
) -> None:  # fmt: skip
    """The codes from products of vectors and atoms (L, M), of atoms and atoms (M, M), and the vectors' squares (L,)."""
    m, k = products.shape[1], out_atoms.shape[1]
    for row in range(first, last):
        chosen = np.empty(k, dtype=np.int64)
        is_chosen = np.zeros(m, dtype=np.bool_)
        lower = np.zeros((k, k))  # Cholesky of the chosen atoms' products
        half, weights = np.zeros(k), np.zeros(k)
        left = products[row].copy()  # of the residual with every atom
        size, enough = 0, False
        while size < k:
            best, at = np.float32(-1.0), -1
            for atom in range(m):
                if not is_chosen[atom] and abs(left[atom]) > best:
                    best, at = abs(left[atom]), atom
            if enough or best * best <= 1e-10 * squares[row]:
                enough = True  # the rest of the places are filled without weight
                chosen[size], is_chosen[at] = at, True
                size += 1
                continue
            diagonal = np.float64(gram[at, at])
            for i in range(size):
                total = np.float64(gram[chosen[i], at])
                for j in range(i):
                    total -= lower[i, j] * lower[size, j]
                lower[size, i] = total / lower[i, i]
                diagonal -= lower[size, i] ** 2
            is_chosen[at] = True
            if diagonal < 1e-6:  # a sum of the chosen ones: it adds nothing
                left[at] = 0.0
                continue
            lower[size, size] = np.sqrt(diagonal)
            chosen[size] = at
            total = np.float64(products[row, at])
            for j in range(size):
                total -= lower[size, j] * half[j]
            half[size] = total / lower[size, size]
            size += 1
            for i in range(size - 1, -1, -1):
                total = half[i]
                for j in range(i + 1, size):
                    total -= lower[j, i] * weights[j]
                weights[i] = total / lower[i, i]
            left[:] = products[row]
            for i in range(size):
                weight, of_atom = np.float32(weights[i]), gram[chosen[i]]
                for atom in range(m):
                    left[atom] -= weight * of_atom[atom]
        order = np.argsort(chosen)
        for place in range(k):
            out_atoms[row, place] = chosen[order[place]]
            out_weights[row, place] = weights[order[place]]
