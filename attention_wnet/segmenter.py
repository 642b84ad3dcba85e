"""A trained network with its threshold: its file, and the vessels that it finds on whole photographs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from attention_wnet.config import ModelConfig
from attention_wnet.model import AttentionWNet
from attention_wnet.pictures import MIN_SIDE, field_of_view, ready
from ramen.errors import InputError
from ramen.extras import needing
from ramen.files import replacing

FILE = "model.safetensors"
WINDOW = 192  # pixels a side
OVERLAP = 0.25  # of neighbouring windows
_WINDOWS = 4  # at once
_FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (3,), (2, 3))  # axes of a batch of windows
_ALIKE = 1.25  # ratio of widths below which a photograph is read as it is
_KEY = "wnet"


def build(config: ModelConfig) -> AttentionWNet:
    """The network of these settings, with fresh weights, laid out as processors convolve fastest."""
    model = AttentionWNet(config.filters, config.attention, config.regularised, config.dropout)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Segmenter:
    """Finds vessels on photographs.

    Args:
        model: trained.
        config: what it was built from.
        threshold: probability from which a pixel is taken for vessel.
        width: of the fields of view that it was trained on, in pixels; 0 where unknown.

    Example:
        >>> segmenter = Segmenter.load(Path("runs/chase"))  # doctest: +SKIP
        >>> segmenter.probabilities(photograph) >= segmenter.threshold  # doctest: +SKIP
    """

    def __init__(self, model: AttentionWNet, config: ModelConfig, threshold: float = 0.5, width: float = 0.0) -> None:
        self.model, self.config, self.threshold, self.width = model.eval(), config, threshold, width

    def scale(self, view: np.ndarray) -> float:
        """What a photograph is resized by, so that its field of view is about as wide as those of training.

        Args:
            view: bool ``(height, width)``.

        Returns:
            1 where the widths differ by less than a quarter.
        """
        found = self.width / max(1, int(view.any(axis=0).sum()))
        return found if self.width and not 1 / _ALIKE < found < _ALIKE else 1.0

    def probabilities(
        self,
        photograph: np.ndarray,
        scale: float | None = None,
        window: int = WINDOW,
        overlap: float = OVERLAP,
        flips: bool = False,
    ) -> np.ndarray:
        """How likely each pixel is one of a vessel.

        Args:
            photograph: uint8 ``(height, width, 3)``.
            scale: what to resize the photograph by before it is read; None to find out from its field of view.
            window: side of the windows that are scored and blended by a Gaussian around their middles, in pixels.
            overlap: share of a window that the next one covers too, below 1.
            flips: mean of four readings, of the windows as they are and mirrored either way: four times the work.

        Returns:
            float32 ``(height, width)``.
        """
        scale = self.scale(field_of_view(photograph)) if scale is None else scale
        if scale == 1:
            return self.of_grey(ready(photograph), window, overlap, flips)
        height, width = photograph.shape[:2]
        read = max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale))
        resized = Image.fromarray(photograph).resize(read, Image.Resampling.LANCZOS)
        found = Image.fromarray(self.of_grey(ready(np.asarray(resized)), window, overlap, flips))
        return np.asarray(found.resize((width, height), Image.Resampling.BILINEAR))

    @torch.inference_mode()
    def of_grey(
        self, grey: np.ndarray, window: int = WINDOW, overlap: float = OVERLAP, flips: bool = False
    ) -> np.ndarray:
        """As :meth:`probabilities`, of what :func:`attention_wnet.pictures.ready` gives, unscaled."""
        with needing("wnet", "finding vessels"):
            from monai.inferers import sliding_window_inference  # takes seconds, which wrong calls need not wait

        device = next(self.model.parameters()).device

        def vessels(windows: Tensor) -> Tensor:
            turned = [windows.flip(axes) for axes in (_FLIPS if flips else _FLIPS[:1])]
            logits = [self.model(some.contiguous(memory_format=torch.channels_last)) for some in turned]
            found = [of.softmax(dim=1)[:, 1:].flip(axes) for of, axes in zip(logits, _FLIPS, strict=False)]
            return torch.stack(found).mean(dim=0)

        found = sliding_window_inference(
            torch.from_numpy(grey)[None, None].to(device), window, _WINDOWS, vessels, overlap, mode="gaussian"
        )
        assert isinstance(found, Tensor)
        return found[0, 0].clamp(0, 1).cpu().numpy()

    def save(self, path: Path) -> None:
        """Write weights, settings and threshold into one file; written beside, then renamed."""
        meta = {"model": dataclasses.asdict(self.config), "threshold": self.threshold, "width": self.width}
        tensors = {name: value.contiguous().cpu() for name, value in self.model.state_dict().items()}
        with replacing(path) as part:
            save_file(tensors, part, metadata={_KEY: json.dumps(meta)})

    @classmethod
    def load(cls, path: Path) -> Segmenter:
        """From a run's folder or its model file.

        Raises:
            InputError: missing, no model file of this package, damaged, or of another shape than its settings say.
        """
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            raise InputError(f"{path}: missing, expected a trained model")
        try:
            with safe_open(path, "pt") as file:
                meta = json.loads((file.metadata() or {}).get(_KEY, "null"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(f"{path}: damaged, or no model file ({error})") from None
        try:
            config, numbers = ModelConfig(**meta["model"]), (float(meta["threshold"]), float(meta["width"]))
        except (TypeError, KeyError, ValueError):
            raise InputError(f"{path}: not a model of wnet train (its settings are missing or unknown)") from None
        model = build(config)
        fit_weights(model, tensors, path)
        return cls(model, config, *numbers)


def fit_weights(model: AttentionWNet, tensors: dict[str, Tensor], path: Path) -> None:
    """Put weights into a network.

    Raises:
        InputError: one is missing, unknown, or has another shape than the network's.
    """
    wanted = model.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        expected = tuple(wanted[name].shape) if name in wanted else "nothing"
        if found != expected:
            raise InputError(f"{path}: {name} is {found}, expected {expected}: the model is of another shape")
    model.load_state_dict(tensors)
