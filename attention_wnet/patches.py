"""Patches of samples, drawn by a seed, and their augmentation (MONAI's)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from attention_wnet.config import PatchesConfig
from attention_wnet.sets import Sample
from ramen.extras import needing

if TYPE_CHECKING:
    from monai.transforms import Compose

_MARGIN = 1.5  # of a patch's side, cut out before it is turned, so that no corner is made up
_LIKELY = 0.5  # of each change
_SCALES = 0.2
_KNOTS = 24  # pixels between the elastic grid's


class Patches:
    """Draws batches from the fields of view of samples; the same step always gives the same batch.

    Args:
        samples: read cases.
        config: sizes and augmentation.
        seed: of all draws.
        augment: whether patches are changed at random.
    """

    def __init__(self, samples: Sequence[Sample], config: PatchesConfig, seed: int, augment: bool) -> None:
        self._size, self._seed = config.size, seed
        self._change = augmentation(config) if augment else None
        self._cut = math.ceil(_MARGIN * config.size) if augment else config.size
        self._pairs, self._places = [], []
        for sample in samples:
            pair = np.stack([sample.grey, sample.vessels.astype(np.float32)])
            around = ((0, 0), (self._cut // 2, self._cut), (self._cut // 2, self._cut))
            self._pairs.append(torch.from_numpy(np.pad(pair, around, mode="symmetric")))
            self._places.append(np.argwhere(sample.view).astype(np.int32))

    def batch(self, step: int, count: int) -> tuple[Tensor, Tensor]:
        """Patches and what is drawn on them.

        Args:
            step: number of the batch.
            count: patches.

        Returns:
            float32 ``(count, 1, size, size)`` in about [0, 1], and int64 ``(count, size, size)``: 1 for vessels.
        """
        draw = np.random.default_rng((self._seed, step))
        found = torch.empty(count, 2, self._size, self._size)
        for index in range(count):
            of = draw.integers(len(self._pairs))
            row, column = self._places[of][draw.integers(len(self._places[of]))]
            pair = self._pairs[of][:, row : row + self._cut, column : column + self._cut]
            if self._change is not None:
                self._change.set_random_state(seed=int(draw.integers(2**31)))
                changed = self._change({"grey": pair[:1], "vessels": pair[1:]})
                pair = torch.cat([changed["grey"], changed["vessels"]])
            found[index] = pair
        return found[:, :1].contiguous(), (found[:, 1] > 0.5).long()


def augmentation(config: PatchesConfig) -> Compose:
    """Changes of ``{"grey", "vessels"}``, tensors ``(1, side, side)`` of which the middle stays.

    Args:
        config: which changes, how strong.

    Raises:
        InputError: MONAI is not installed; the message has the command to type.
    """
    with needing("wnet", "augmentation"):
        from monai import transforms  # takes seconds, which wrong calls need not wait

    both = ["grey", "vessels"]
    changes: list[Any] = []
    if config.flips:
        changes += [transforms.RandFlipd(both, _LIKELY, axis) for axis in (0, 1)]
        changes += [transforms.RandRotate90d(both, _LIKELY)]
    if config.rotations or config.elastic:
        changes += [
            transforms.Rand2DElasticd(
                both,
                spacing=(_KNOTS, _KNOTS),
                magnitude_range=(0.0, config.elastic),
                prob=_LIKELY,
                rotate_range=math.pi / 4 if config.rotations else None,
                scale_range=(_SCALES, _SCALES) if config.rotations else None,
                mode=("bilinear", "bilinear"),
                padding_mode="reflection",
            )
        ]
    changes += [transforms.CenterSpatialCropd(both, config.size)]
    if config.gamma:
        changes += [transforms.RandAdjustContrastd("grey", _LIKELY, (1 - config.gamma, 1 + config.gamma))]
    if config.noise:
        changes += [transforms.RandGaussianNoised("grey", _LIKELY, std=config.noise)]
    return transforms.Compose([*changes, transforms.ToTensord(both, track_meta=False)])
