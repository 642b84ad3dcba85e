"""The contract of dense one-vs-all classifiers in training."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import scipy.sparse as sp
import torch

from ramen.errors import InputError
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
    ) -> torch.Tensor:
        """One step of the optimiser on a batch; returns the mean loss per true pair, 0 where there is none.

        The loss is a scalar on the device that computes it: reading it, as ``float(loss)`` does, waits for a GPU.

        Args:
            queries: float32 (B, d).
            targets: CSR (B, L), rows' true labels; a row may have none.
            filtered: CSR (B, L) of labels that are neither right nor wrong, or None.
            lr: learning rate.
            shortlist: the labels that compete and move: int64, ascending, the same for all points, the true ones among
                them; or CSR (B, L), those of each point; or None for all labels.
        """

    def fit_step_with_gradient(
        self,
        queries: torch.Tensor,
        targets: sp.csr_matrix,
        filtered: sp.csr_matrix | None,
        lr: float,
        shortlist: np.ndarray | sp.csr_matrix | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """:meth:`fit_step` that also returns a gradient, by which an encoder can be trained with the classifiers.

        Sources: Renee (Jain et al., MLSys 2023), section 3; ELMO (ICML 2025). Arguments are those of :meth:`fit_step`.

        Returns:
            The loss; and the gradient with respect to the queries, float32 (B, d) on the classifiers' device, at the
            weights before the step. It is that of the sum of the true pairs' losses, with ``bce`` of all pairs',
            divided by B, as is the gradient of the weights.

        Raises:
            InputError: classifiers that have none.

        Example:
            >>> from ramen.scorers.dense.classifier import DenseClassifier
            >>> model, true = DenseClassifier(torch.eye(2), temperature=1.0), sp.csr_matrix([[1.0, 0.0]])
            >>> model.fit_step_with_gradient(torch.zeros(1, 2), true, None, 0.01)[1].tolist()
            [[-0.5, 0.5]]
        """
        raise InputError("only dense.kind=full gives the gradient with respect to the queries")

    @abstractmethod
    def label_weights(self) -> LabelWeights:
        """The weights as they are now, for scoring without torch; they may share the classifiers' memory."""
