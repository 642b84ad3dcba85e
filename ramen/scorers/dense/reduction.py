"""Reductions over all labels, of which this process may have only a part."""

from __future__ import annotations

import scipy.sparse as sp
import torch

from ramen import distributed


class LocalReduction:
    """All labels are here."""

    def pairs(self, targets: sp.csr_matrix) -> int:
        """True pairs of the batch, with those of labels elsewhere."""
        return int(targets.nnz)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of what each part has; it may be ``values`` itself, changed."""
        return values

    def logsum(self, values: torch.Tensor) -> torch.Tensor:
        """Log Σ exp of what each part has; ``values`` itself where there is one part."""
        return values


class DistributedReduction(LocalReduction):
    """Every rank has a part, and all make the same steps.

    Attributes:
        n_pairs: true pairs of the batch, to be set before each step.
    """

    n_pairs = 0

    def pairs(self, targets: sp.csr_matrix) -> int:
        """See :class:`LocalReduction`."""
        return self.n_pairs

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """See :class:`LocalReduction`."""
        return distributed.all_reduce(values)

    def logsum(self, values: torch.Tensor) -> torch.Tensor:
        """See :class:`LocalReduction`."""
        return torch.logsumexp(distributed.all_gather(values), 0)
