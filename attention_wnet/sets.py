"""Data sets of photographs with drawn vessels: their layouts on disk, their pairs, their splits."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attention_wnet import pictures
from ramen.errors import InputError

SPLITS = ("train", "validation", "test")
_PICTURES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".ppm", ".gif"}
_VALIDATION = 0.2  # of what trains; whole subjects
_INVERTED = 0.5  # of a mask: more vessel than this is no drawing of vessels

logger = logging.getLogger("ramen")


@dataclass
class Case:
    """Files of one photograph; those that a set does not have are None."""

    name: str
    photograph: Path
    vessels: Path
    second: Path | None = None  # another observer's drawing
    view: Path | None = None  # field of view

    @property
    def eye(self) -> str:
        """What validation keeps together: both eyes of a subject of CHASE_DB1, otherwise the photograph."""
        return self.name[:-1] if re.fullmatch(r"Image_\d+[LR]", self.name) else self.name


@dataclass
class Sample:
    """A case, read.

    Attributes:
        case: its files.
        photograph: uint8 ``(height, width, 3)``.
        grey: what the network reads, float32 ``(height, width)``.
        vessels: bool ``(height, width)``, the first observer's.
        view: bool ``(height, width)``, the field of view: the set's own, otherwise derived.
    """

    case: Case
    photograph: np.ndarray
    grey: np.ndarray
    vessels: np.ndarray
    view: np.ndarray

    @property
    def second(self) -> np.ndarray | None:
        """The second observer's drawing, where there is one."""
        path = self.case.second
        if path is None:
            return None
        height, width = self.vessels.shape
        return pictures.read_mask(path, (height, width), self.case.photograph)


def read_set(folder: Path, split: str) -> list[Case]:
    """The cases of a split of a data set, by name.

    Layouts known: CHASE_DB1 (its own flat folder, or ``train`` and ``test`` with ``images`` and ``vessels_1stHO``),
    DRIVE, STARE (which has no split of its own: the first ten train, the last ten test), and ``plain``:
    ``{train,test}/images/NAME.*`` and ``vessels/NAME.*`` beside, where there are any with ``second`` and ``view``.

    Args:
        folder: of the data set.
        split: train, validation or test; validation is a fifth of what the set trains on, the last by name.

    Raises:
        InputError: a missing folder, an unknown layout, a split without photographs, or pairs that are not whole.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: missing, expected the folder of a data set")
    for holds, cases in LAYOUTS.values():
        if holds(folder):
            found = cases(folder, "test" if split == "test" else "train")
            break
    else:
        raise InputError(f"{folder}: found none of the layouts {', '.join(LAYOUTS)}")
    missing = [str(path) for case in found for path in (case.photograph, case.vessels) if not path.exists()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(f"{folder}: pairs are not whole, missing {', '.join(missing[:3])}{more}")
    if not found:
        raise InputError(f"{folder}: no photographs to {'test' if split == 'test' else 'train'} on")
    if split == "test":
        return found
    eyes = sorted({case.eye for case in found})
    if len(eyes) < 2:
        raise InputError(f"{folder}: found one eye to train on, expected two or more: one is for validation")
    held = set(eyes[-max(1, round(_VALIDATION * len(eyes))) :])
    return [case for case in found if (case.eye in held) == (split == "validation")]


def read_sample(case: Case) -> Sample:
    """Read a case's files.

    Raises:
        InputError: a file as :func:`attention_wnet.pictures.read` refuses it, a mask of another size, one without
            vessels, or one that is white where there are none.
    """
    photograph = pictures.read(case.photograph)
    size = photograph.shape[0], photograph.shape[1]
    vessels = pictures.read_mask(case.vessels, size, case.photograph)
    if not vessels.any():
        raise InputError(f"{case.vessels}: no vessels at all, expected them white on black")
    if vessels.mean() > _INVERTED:
        raise InputError(f"{case.vessels}: {vessels.mean():.0%} is white, expected white vessels on black")
    view = pictures.read_mask(case.view, size, case.photograph) if case.view else pictures.field_of_view(photograph)
    if not vessels[view].any():
        raise InputError(f"{case.view or case.photograph}: no vessel of {case.vessels} lies in the field of view")
    return Sample(case, photograph, pictures.ready(photograph), vessels, view)


def _files(folder: Path) -> list[Path]:
    """Pictures in a folder, by name."""
    if not folder.is_dir():
        return []
    kinds = ((path, {suffix.lower() for suffix in path.suffixes}) for path in folder.iterdir())
    return sorted(path for path, suffixes in kinds if suffixes & _PICTURES and not path.name.startswith("."))


def _there(path: Path) -> Path | None:
    return path if path.exists() else None


def _packed(path: Path) -> Path:
    """The file itself, or its gzip file where only that is there."""
    packed = path.with_name(path.name + ".gz")
    return packed if packed.exists() and not path.exists() else path


def _chase(folder: Path, split: str) -> list[Case]:
    if (folder / "train" / "vessels_1stHO").is_dir():
        images, masks = folder / split / "images", folder / split / "vessels_1stHO"
        seconds = folder / "second_observer"
        names = {path.stem for path in _files(images)} | {path.stem.removesuffix("_1stHO") for path in _files(masks)}
    else:
        images = masks = seconds = folder
        stems = {re.sub(r"_(1st|2nd)HO$", "", path.stem) for path in _files(folder)}
        ordered = sorted(stem for stem in stems if re.fullmatch(r"Image_\d+[LR]", stem))
        names = set(ordered[:20] if split == "train" else ordered[20:])  # the usual split: subjects 01-10 and 11-14
    return [
        Case(
            name,
            images / f"{name}.jpg",
            masks / f"{name}_1stHO.png",
            _there(seconds / f"{name}_2ndHO.png"),
        )
        for name in sorted(names)
    ]


def _drive(folder: Path, split: str) -> list[Case]:
    part, word = (folder / "training", "training") if split == "train" else (folder / "test", "test")
    photographs = {path.name.partition("_")[0] for path in _files(part / "images")}
    masks = {path.name.partition("_")[0] for path in _files(part / "1st_manual")}
    return [
        Case(
            name,
            part / "images" / f"{name}_{word}.tif",
            part / "1st_manual" / f"{name}_manual1.gif",
            _there(part / "2nd_manual" / f"{name}_manual2.gif"),
            _there(part / "mask" / f"{name}_{word}_mask.gif"),
        )
        for name in sorted(photographs | masks)
    ]


def _stare(folder: Path, split: str) -> list[Case]:
    drawn = {path.name.partition(".")[0] for path in _files(folder / "labels-ah")}
    names = sorted(drawn)[:10] if split == "train" else sorted(drawn)[10:]  # photographs that nobody drew are left out
    return [
        Case(
            name,
            _packed(folder / "stare-images" / f"{name}.ppm"),
            _packed(folder / "labels-ah" / f"{name}.ah.ppm"),
            _there(_packed(folder / "labels-vk" / f"{name}.vk.ppm")),
        )
        for name in names
    ]


def _plain(folder: Path, split: str) -> list[Case]:
    kinds = {kind: {path.stem: path for path in _files(folder / split / kind)} for kind in _PLAIN}
    return [
        Case(
            name,
            kinds["images"].get(name, folder / split / "images" / f"{name}.png"),
            kinds["vessels"].get(name, folder / split / "vessels" / f"{name}.png"),
            kinds["second"].get(name),
            kinds["view"].get(name),
        )
        for name in sorted(kinds["images"].keys() | kinds["vessels"].keys())
    ]


_PLAIN = ("images", "vessels", "second", "view")

# Name: whether a folder has the layout, and its cases of a split.
LAYOUTS: dict[str, tuple[Callable[[Path], bool], Callable[[Path, str], list[Case]]]] = {
    "CHASE_DB1": (
        lambda folder: (folder / "train" / "vessels_1stHO").is_dir() or any(folder.glob("Image_*_1stHO.png")),
        _chase,
    ),
    "DRIVE": (lambda folder: (folder / "training" / "1st_manual").is_dir(), _drive),
    "STARE": (lambda folder: (folder / "labels-ah").is_dir(), _stare),
    "plain": (lambda folder: (folder / "train" / "vessels").is_dir() or (folder / "test" / "vessels").is_dir(), _plain),
}
