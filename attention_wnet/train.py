"""Training: patches, Adam, a check on validation patches now and then; a stopped run goes on from its last check."""

from __future__ import annotations

import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from attention_wnet.config import WNetConfig
from attention_wnet.model import AttentionWNet
from attention_wnet.patches import Patches
from attention_wnet.pictures import write
from attention_wnet.scores import Scored, best_threshold, scores
from attention_wnet.segmenter import FILE, Segmenter, build, fit_weights
from attention_wnet.sets import Sample, read_sample, read_set
from ramen.errors import InputError
from ramen.files import replacing
from ramen.settings import as_yaml

STATE = "training.safetensors"
_WARMUP = 0.05  # of the steps
_CLIP = 1.0
_CHECKED_AT_ONCE = 32  # patches

logger = logging.getLogger("ramen")


def train(data: Path, out: Path, config: WNetConfig) -> Segmenter:
    """Train on a data set's training part and keep the weights of the lowest validation loss.

    ``out`` gets ``config.yaml``, ``model.safetensors``, ``log.json`` (a row for each check) and ``view/``, the fields
    of view. The threshold is the one of the greatest F1 on the validation photographs. A run that was stopped goes on
    from its last check and ends with the same weights.

    Args:
        data: folder of a data set.
        out: folder to write.
        config: settings.

    Raises:
        InputError: data as :func:`attention_wnet.sets.read_set` and ``read_sample`` refuse them, or a folder that holds
            a finished run or one of other settings.
    """
    config.data = str(data.resolve())
    text = as_yaml(config)
    _check_out(out, text)
    learnt, held = _read(data, "train"), _read(data, "validation")
    (out / "view").mkdir(parents=True, exist_ok=True)
    for sample in (*learnt, *held):
        write(out / "view" / f"{sample.case.name}.png", sample.view)
    with replacing(out / "config.yaml") as part:
        part.write_text(text, encoding="utf-8")
    torch.manual_seed(config.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build(config.model).to(device)
    with logging_redirect_tqdm([logger]):
        rows = _fit(model, learnt, held, out, config)
    width = sum(int(one.view.any(axis=0).sum()) for one in learnt) / len(learnt)
    segmenter = Segmenter(model, config.model, width=width)
    scored = [
        Scored(segmenter.of_grey(one.grey)[one.view], one.vessels[one.view])
        for one in tqdm(held, desc="validation", unit="photograph", disable=None, leave=False)
    ]
    segmenter.threshold = best_threshold(scored)
    found = scores(scored, segmenter.threshold)
    rows.append({"threshold": segmenter.threshold, **{name: found[name]["value"] for name in ("f1", "auc")}})
    with replacing(out / "log.json") as part:
        part.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    logger.info("validation: F1 %.4f from %.2f on, AUC %.4f", rows[-1]["f1"], segmenter.threshold, rows[-1]["auc"])
    segmenter.save(out / FILE)
    (out / STATE).unlink(missing_ok=True)
    return segmenter


def _check_out(out: Path, text: str) -> None:
    if (out / FILE).exists():
        raise InputError(f"{out}: holds a finished run, expected another --out")
    config = out / "config.yaml"
    if config.exists() and config.read_text(encoding="utf-8") != text:
        raise InputError(
            f"{out}: holds a run of other data or settings (config.yaml), expected the same or another --out"
        )


def _read(data: Path, split: str) -> list[Sample]:
    cases = tqdm(read_set(data, split), f"reading {split}", unit="photograph", disable=None, leave=False)
    return [read_sample(case) for case in cases]


def _fit(
    model: AttentionWNet, learnt: list[Sample], held: list[Sample], out: Path, config: WNetConfig
) -> list[dict[str, Any]]:
    """Train in place, leave the best weights; returns a row of figures for each check."""
    device = next(model.parameters()).device
    settings = config.train
    drawn = Patches(learnt, config.patches, config.seed, augment=True)
    checked = Patches(held, config.patches, 0, augment=False).batch(0, config.patches.checked)
    adam = torch.optim.Adam(model.parameters(), lr=settings.lr)
    state = _State(out / STATE, model, adam)
    state.restore()
    total, counted, start = 0.0, 0, time.perf_counter()
    steps = range(state.step, settings.steps)
    bar = tqdm(steps, "training", settings.steps, initial=state.step, unit="step", disable=None, leave=False)
    for step in bar:
        if state.patient(settings.patience):
            break
        model.train()
        torch.manual_seed(config.seed * 1_000_003 + step)  # dropout; a resumed run draws the same
        for group in adam.param_groups:
            group["lr"] = settings.lr * _rate(step, settings.steps)
        grey, vessels = (part.to(device) for part in drawn.batch(step, settings.batch_size))
        loss = functional.cross_entropy(model(grey.contiguous(memory_format=torch.channels_last)), vessels)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        adam.step()
        total, counted = total + loss.item(), counted + 1
        if not torch.isfinite(loss):
            raise InputError(f"train.lr={settings.lr}: the loss is not finite at step {step}, expected a lower rate")
        if (step + 1) % settings.check_every == 0 or step + 1 == settings.steps:
            now = time.perf_counter()
            state.add(step + 1, total / counted, _validate(model, *checked), now - start)
            logger.info("step %d: loss %.4f, validation %.4f", step + 1, total / counted, state.rows[-1]["validation"])
            total, counted, start = 0.0, 0, now
    bar.close()
    fit_weights(model, state.best, out / STATE)
    return state.rows


def _rate(step: int, steps: int) -> float:
    warmup = max(1.0, _WARMUP * steps)
    return min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * max(0.0, step - warmup) / max(1.0, steps - warmup)))


@torch.inference_mode()
def _validate(model: AttentionWNet, grey: Tensor, vessels: Tensor) -> float:
    """Mean cross-entropy of fixed patches."""
    model.eval()
    device = next(model.parameters()).device
    losses = [
        functional.cross_entropy(model(some.to(device)), drawn.to(device), reduction="sum").item()
        for some, drawn in zip(grey.split(_CHECKED_AT_ONCE), vessels.split(_CHECKED_AT_ONCE), strict=True)
    ]
    return sum(losses) / vessels.numel()


class _State:
    """Where training stands at its last check, in memory and on disk.

    Attributes:
        step: steps done.
        rows: figures of each check.
        best: weights of the lowest validation loss so far.
    """

    def __init__(self, path: Path, model: AttentionWNet, adam: torch.optim.Optimizer) -> None:
        self._path, self._model, self._adam = path, model, adam
        self.step, self.rows = 0, list[dict[str, Any]]()
        self.best = _copy(model)

    def patient(self, checks: int) -> bool:
        """Whether as many checks as ``checks`` have passed since the best one."""
        losses = [row["validation"] for row in self.rows]
        return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= checks

    def add(self, step: int, loss: float, validation: float, seconds: float) -> None:
        """Take a check down, and keep everything on disk."""
        if validation < min((row["validation"] for row in self.rows), default=math.inf):
            self.best = _copy(self._model)
        self.step = step
        self.rows.append({"step": step, "loss": loss, "validation": validation, "seconds": seconds})
        tensors = {f"model.{name}": value for name, value in _copy(self._model).items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for index, of in self._adam.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value.contiguous().cpu() for name, value in of.items()}
        with replacing(self._path) as part:
            save_file(tensors, part, metadata={"rows": json.dumps(self.rows)})

    def restore(self) -> None:
        """Go on from the disk, where there is something."""
        if not self._path.exists():
            return
        try:
            with safe_open(self._path, "pt") as file:
                rows = json.loads(file.metadata()["rows"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self._path}: damaged ({error}); without it the run starts anew") from None
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "adam": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        fit_weights(self._model, parts["model"], self._path)
        self.best, self.rows, self.step = parts["best"], rows, rows[-1]["step"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["adam"].items():
            index, _, rest = name.partition(".")
            moments.setdefault(int(index), {})[rest] = value
        self._adam.load_state_dict({**self._adam.state_dict(), "state": moments})
        logger.info("going on from step %d", self.step)


def _copy(model: AttentionWNet) -> dict[str, Tensor]:
    return {name: value.detach().contiguous().cpu().clone() for name, value in model.state_dict().items()}
