"""The folder layouts that ``load_dataset`` supports, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ramen.data.dataset import Dataset
from ramen.data.files import Problem, Reading, strict
from ramen.data.read import read_label_features, read_named_labels
from ramen.data.read_lines import LINE_FILES
from ramen.data.read_words import read_data_file, read_matrices, read_single_files


@dataclass(frozen=True)
class Layout:
    """One layout of a data set folder.

    Attributes:
        name: as shown in messages.
        needs: patterns of required files; each may be gzipped (``.gz``), and a matrix may be ``.npz``. Of alternatives
            (``a|b``) one is enough.
        read: reads a folder with these files.
    """

    name: str
    needs: tuple[str, ...]
    read: Callable[[Path], Reading[Dataset | None]]

    def lacks(self, names: list[str]) -> list[str]:
        """Return the patterns that no file of a folder matches."""
        return [need for need in self.needs if not any(_matches(name, need) for name in names)]


def _matches(name: str, need: str) -> bool:
    plain = name.removesuffix(".gz")
    if ("_X_" in need or need.startswith("Y.tr")) and plain.endswith(".npz"):
        plain = plain.removesuffix(".npz") + ".txt"
    return any(fnmatchcase(plain, pattern) for pattern in need.split("|"))


# Tried in this order; the first complete layout reads the folder.
LAYOUTS = (
    Layout("label-feature", needs=("trn.json|trn.raw.json", "lbl.json|lbl.raw.json"), read=read_label_features),
    Layout("label names in lines", needs=("trn.json|trn.raw.json", "Y.txt|Yf.txt"), read=read_named_labels),
    *(Layout("texts in lines", needs=files.needs, read=files.read) for files in LINE_FILES),
    Layout("bags of words in matrices", needs=("trn_X_Xf.txt", "trn_X_Y.txt"), read=read_matrices),
    Layout("bags of words, a file a split", needs=("train.txt|*_train.txt",), read=read_single_files),
    Layout("bags of words in one file", needs=("*_data.txt",), read=read_data_file),
)


def load_dataset(path: str | Path) -> Dataset:
    """Read a data set folder.

    Args:
        path: a folder in one of ``LAYOUTS``; docs/data-format.md describes its files.

    Returns:
        The data set; all parts are checked against each other.

    Raises:
        InputError: the first problem, with file and line. ``ramen.data.check`` lists all of them.

    Example:
        >>> load_dataset("data/LF-WordNet").n_labels  # doctest: +SKIP
        80554
    """
    dataset = strict(read_folder(Path(path)))
    assert dataset is not None, "a reader that finds no problem returns a data set"
    return dataset


def read_folder(folder: Path) -> Reading[Dataset | None]:
    """Read a folder in the first layout that fits; do not use the value after a problem."""
    try:
        if not folder.exists():
            yield Problem(folder, "no such folder")
        elif not folder.is_dir():
            yield Problem(folder, "is a file, expected the folder of a data set")
        elif next(folder.iterdir(), None) is None:
            yield Problem(folder, "the folder is empty, expected a data set")
        else:
            return (yield from _read_layout(folder))
    except OSError as error:  # the folder cannot be listed; errors of its files are reported per file
        yield Problem(Path(error.filename or folder), f"cannot be read ({error.strerror})")
    return None


def _read_layout(folder: Path) -> Reading[Dataset | None]:
    files = [path for path in (*folder.iterdir(), *folder.glob("raw*/*")) if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in files if not path.name.startswith("filter_labels")]
    for layout in LAYOUTS:
        if not layout.lacks(names):
            return (yield from layout.read(folder))
    tried = "; ".join(
        f"{layout.name} lacks {', '.join(layout.lacks(names)).replace('|', ' or ')}" for layout in LAYOUTS
    )
    yield Problem(folder, f"no known layout fits (a file may end in .gz, a matrix be .npz): {tried}")
    return None
