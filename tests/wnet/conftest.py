"""Small made-up eyes: a lit disc on black, with dark vessels drawn by a seed."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

SIZE = (112, 96)  # width, height
SMALL = [
    "model.filters=4",
    "patches.size=32",
    "patches.checked=8",
    "train.steps=8",
    "train.batch_size=4",
    "train.check_every=2",
]


def draw_eye(seed: int, size: tuple[int, int] = SIZE) -> tuple[Image.Image, Image.Image]:
    """A photograph and the vessels on it."""
    rng = np.random.default_rng(seed)
    width, height = size
    photograph, vessels = Image.new("RGB", size), Image.new("L", size)
    disc = (4, 4, width - 5, height - 5)
    ImageDraw.Draw(photograph).ellipse(disc, fill=(190, 110, 60))
    for _ in range(5):
        ends = [(int(rng.integers(10, width - 10)), int(rng.integers(10, height - 10))) for _ in range(3)]
        thick = int(rng.integers(2, 5))
        ImageDraw.Draw(photograph).line(ends, fill=(110, 40, 30), width=thick)
        ImageDraw.Draw(vessels).line(ends, fill=255, width=thick)
    pixels = np.asarray(photograph, dtype=np.int16)
    noisy = np.where(pixels > 0, pixels + rng.integers(-8, 9, pixels.shape), 0)
    inside = Image.new("L", size)
    ImageDraw.Draw(inside).ellipse(disc, fill=255)
    drawn = Image.fromarray(np.where(np.asarray(inside) > 0, np.asarray(vessels), 0).astype(np.uint8))
    photograph = Image.fromarray(np.where(np.asarray(inside)[:, :, None] > 0, noisy, 0).clip(0, 255).astype(np.uint8))
    return photograph, drawn


def write_plain(folder: Path, train: int = 5, test: int = 2) -> Path:
    """A set of made-up eyes in plain folders, with a second observer of the test photographs."""
    for split, count, first in (("train", train, 0), ("test", test, 100)):
        for kind in ("images", "vessels", "second"):
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            photograph, vessels = draw_eye(first + index)
            photograph.save(folder / split / "images" / f"eye{index}.png")
            vessels.save(folder / split / "vessels" / f"eye{index}.png")
            if split == "test":
                moved = Image.fromarray(np.roll(np.asarray(vessels), 1, axis=0))
                moved.save(folder / split / "second" / f"eye{index}.png")
    return folder


@contextmanager
def one_thread():
    """Networks this small gain nothing from threads, and lose much where others use the cores too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def _in_one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="session")
def eye():
    """Draws a photograph and its vessels by a seed."""
    return draw_eye


@pytest.fixture(scope="session")
def write_eyes():
    """Writes a set in plain folders."""
    return write_plain


@pytest.fixture(scope="session")
def small():
    """Settings of a run of seconds."""
    return SMALL


@pytest.fixture(scope="session")
def plain_set(tmp_path_factory):
    """Read only."""
    return write_plain(tmp_path_factory.mktemp("eyes"))


@pytest.fixture(scope="session")
def run(plain_set, small, tmp_path_factory):
    """A finished run of eight steps. Read only."""
    from attention_wnet.config import wnet_config
    from attention_wnet.train import train

    out = tmp_path_factory.mktemp("run") / "run"
    with one_thread():
        train(plain_set, out, wnet_config(small))
    return out
