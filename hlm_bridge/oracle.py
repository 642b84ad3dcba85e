"""Oracle features: the texts of a row's anchors, which a teacher may read offline and a student never does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp


def with_anchors(
    texts: list[str], sides: Mapping[str, sp.csr_matrix | None], anchors: Mapping[str, list[str]], most: int
) -> list[str]:
    """Each text followed by the texts of its anchors, the rarest anchors of each graph first.

    Source: HARNESS-LM's offline-only features and MOGIC's oracle (both named in docs/hlm.md).

    Args:
        texts: n of them.
        sides: by graph, CSR (n, anchors), or None where the graph does not know these rows.
        anchors: by graph, their texts; empty ones are left out.
        most: anchors of a graph.

    Example:
        >>> with_anchors(["socket"], {"see": sp.csr_matrix([[1, 1]])}, {"see": ["bind", "listen"]}, 1)
        ['socket; bind']
    """
    parts = [[text] for text in texts]
    for kind in sorted(sides):
        side, names = sides[kind], anchors[kind]
        if side is None:
            continue
        degree = side.getnnz(0)
        for row in np.flatnonzero(np.diff(side.indptr)):
            linked = side.indices[side.indptr[row] : side.indptr[row + 1]]
            rare = linked[np.lexsort((linked, degree[linked]))]
            parts[row] += [names[anchor] for anchor in rare if names[anchor].strip()][:most]
    return ["; ".join(filter(None, part)) for part in parts]
