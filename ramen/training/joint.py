"""One-vs-all classifiers that are trained together with the encoder, each step's gradient going on into it.

Source: Renee (MLSys 2023), section 3, and ELMO (ICML 2025), which train a transformer and the classifiers of all labels
end to end; here beside the encoder's own loss and the graphs.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn

from ramen import distributed
from ramen.config import Config
from ramen.encoders.base import Encoder
from ramen.errors import InputError
from ramen.scorers.dense.build import all_compete, make_classifier
from ramen.scorers.dense.classifier import DenseClassifier


class JointClassifiers(nn.Module):
    """Classifiers whose weights and optimiser state are buffers, so that they are kept and copied with the encoder.

    Args:
        n_labels: L.
        dim: d, of the encoder.
        config: settings; ``dense.joint`` is the weight of their loss.

    Raises:
        InputError: settings that do not go together.

    Example:
        ``encoder.classifiers = JointClassifiers(len(labels), encoder.dim, config)``
    """

    def __init__(self, n_labels: int, dim: int, config: Config) -> None:
        super().__init__()
        check_joint(config)
        self.settings, self.seed = config.dense, config.seed
        self._bound = self._classifier(torch.zeros(n_labels, dim))
        for number, tensor in enumerate(self._bound.tensors()):
            self.register_buffer(f"part{number}", tensor)
        self.register_buffer("started", torch.zeros(1))

    def _classifier(self, start: torch.Tensor) -> DenseClassifier:
        classifier = make_classifier(start, self.settings, self.seed)
        assert isinstance(classifier, DenseClassifier)  # of one process
        return classifier

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Weights, step counts and the state of the optimiser, a row a label."""
        return tuple(self._buffers[f"part{number}"] for number in range(len(self._buffers) - 1))  # type: ignore[misc]

    @property
    def classifier(self) -> DenseClassifier:
        """The classifiers themselves, over these tensors wherever they are now."""
        tensors = self.tensors
        if self._bound.weights is not tensors[0]:
            self._bound = self._classifier(tensors[0])
            self._bound.bind(tensors)
        return self._bound

    @property
    def is_trained(self) -> bool:
        """Whether training of them has begun."""
        return bool(self.started)

    def start(self, labels: np.ndarray) -> None:
        """Let them start from label vectors, float32 (L, d)."""
        weights, *others = self.tensors
        weights.copy_(torch.from_numpy(labels))
        for other in others:
            other.zero_()
        assert isinstance(self.started, torch.Tensor)
        self.started.fill_(1)

    def vectors(self) -> np.ndarray:
        """A copy of their weights, float32 (L, d)."""
        return self.tensors[0].to("cpu", torch.float32, copy=True).numpy()

    def loss(
        self, queries: torch.Tensor, targets: sp.csr_matrix, filtered: sp.csr_matrix, columns: np.ndarray,
        factor: float, number: int = 0,
    ) -> torch.Tensor:  # fmt: skip
        """Move them by a batch; returns their loss, whose gradient is that of the queries.

        Args:
            queries: float32 (B, d), of the encoder, with gradients.
            targets: CSR (B, L).
            filtered: CSR (B, L) of labels that are neither right nor wrong.
            columns: int64, labels of the batch: where not all can compete these do, and the true ones.
            factor: of the schedule, which multiplies ``dense.lr``.
            number: of the step.
        """
        shortlist = None if self._all_compete() else np.union1d(columns, targets.indices).astype(np.int64)
        classifier = self.classifier
        classifier.at_step(number)
        step = classifier.fit_step_with_gradient
        value, gradient = step(queries.detach(), targets, filtered, self.settings.lr * factor, shortlist)
        passed_on = (queries * gradient.to(queries.device)).sum()
        return self.settings.joint * (value + passed_on - passed_on.detach())

    def _all_compete(self) -> bool:
        """Whether all labels do; on a GPU their memory is taken already, so that only a number given is a bound."""
        weights = self.tensors[0]
        if weights.device.type == "cuda" and not self.settings.all_labels:
            return True
        return all_compete(len(weights), weights.shape[1], self.settings, weights.device)


def check_joint(config: Config) -> None:
    """Refuse settings that classifiers cannot be trained with together with the encoder.

    Raises:
        InputError: names the setting.
    """
    if config.dense.joint and config.dense.kind != "full":
        raise InputError(f"dense.joint={config.dense.joint:g}: expected dense.kind=full, found {config.dense.kind}")
    if config.dense.joint and distributed.world_size() > 1:
        raise InputError(
            f"dense.joint={config.dense.joint:g}: expected one process, found {distributed.world_size()}; set "
            "dense.joint=0 to train the classifiers after the encoder"
        )


def joint_of(encoder: Encoder) -> JointClassifiers | None:
    """The classifiers that are trained together with an encoder, or None."""
    classifiers = getattr(encoder, "classifiers", None)
    return classifiers if isinstance(classifiers, JointClassifiers) else None
