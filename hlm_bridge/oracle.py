"""Oracle features: the texts of a row's anchors, which only the teacher reads, offline."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp


def with_anchors(
    texts: list[str], links: Mapping[str, sp.csr_matrix | None], anchors: Mapping[str, list[str]], most: int
) -> list[str]:
    """Append the texts of its anchors to each text, the rarest anchors of each graph first.

    Source: HARNESS-LM's offline-only features and MOGIC's oracle (both named in docs/hlm.md).

    Args:
        texts: n strings.
        links: by graph, CSR (n, anchors), or None if the graph does not link these rows.
        anchors: by graph, their texts; blank ones are skipped.
        most: maximum number of anchors per graph.

    Example:
        >>> with_anchors(["socket"], {"see": sp.csr_matrix([[1, 1]])}, {"see": ["bind", "listen"]}, 1)
        ['socket; bind']
    """
    parts = [[text] for text in texts]
    for kind in sorted(links):
        matrix, names = links[kind], anchors[kind]
        if matrix is None:
            continue
        degree = matrix.getnnz(0)
        for row in np.flatnonzero(np.diff(matrix.indptr)):
            linked = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
            rare = linked[np.lexsort((linked, degree[linked]))]
            parts[row] += [names[anchor] for anchor in rare if names[anchor].strip()][:most]
    return ["; ".join(filter(None, part)) for part in parts]
