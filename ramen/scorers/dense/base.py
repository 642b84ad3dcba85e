"""The contract of dense one-vs-all classifiers in training."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import scipy.sparse as sp
import torch

from ramen.scorers.dense.label_weights import LabelWeights


class Classifier(ABC):
    """A row of weights w_l per label, trained so that q · w_l ranks the labels of a query q.

    Attributes:
        n_labels: L.
        dim: d, of queries.
    """

    n_labels: int
    dim: int

    @abstractmethod
    def fit_step(
        self,
        queries: torch.Tensor,
        targets: sp.csr_matrix,
        filtered: sp.csr_matrix | None,
        lr: float,
        shortlist: np.ndarray | sp.csr_matrix | None = None,
    ) -> float:
        """One step of the optimiser on a batch; returns the mean loss per true pair, 0.0 where there is none.

        Args:
            queries: float32 (B, d).
            targets: CSR (B, L), rows' true labels; a row may have none.
            filtered: CSR (B, L) of labels that are neither right nor wrong, or None.
            lr: learning rate.
            shortlist: the labels that compete and move: int64, ascending, the same for all points, the true ones among
                them; or CSR (B, L), those of each point; or None for all labels.
        """

    @abstractmethod
    def label_weights(self) -> LabelWeights:
        """The weights as they are now, for scoring without torch; they may share the classifiers' memory."""
