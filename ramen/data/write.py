"""Writes a data set folder deterministically: label-feature layout, or matrices for bags of words."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import scipy.sparse as sp

from ramen.data.cards import card_yaml
from ramen.data.dataset import Dataset, Features, Texts
from ramen.data.files import one_line, strict
from ramen.data.layouts import read_folder
from ramen.data.sparse_npz import sparse_npz
from ramen.data.sparse_text import sparse_text
from ramen.errors import InputError, WorkError

# Errors that another path would avoid (InputError); other write errors are a WorkError.
_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG, errno.EEXIST)

_LEVEL = 6  # of gzip: 9 takes three times as long and saves 1 %


def write_dataset(ds: Dataset, out: Path, *, extra: dict[str, bytes | str] | None = None) -> None:
    """Write ``ds`` so that ``load_dataset(out)`` returns it; all of it or nothing.

    The files are written next to ``out``, read back, and renamed. Line breaks inside a text become spaces.

    Args:
        ds: the data set; ``card.yaml`` is written from its card.
        out: a new or empty folder; missing parents are created.
        extra: additional files by relative path, such as ``{"SOURCE.txt": "..."}``.

    Raises:
        InputError: ``out`` is not empty or not writable, ``ds`` would not load again, or an extra file has the name of
            a file of the layout.
        WorkError: the disk is full, or writing failed otherwise.

    Example:
        >>> write_dataset(ds, Path("data/mine"), extra={"SOURCE.txt": "made by hand"})  # doctest: +SKIP
    """
    out = Path(os.path.abspath(out))
    beside = out.with_name(f"{out.name}.tmp-{os.getpid()}")
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f"{out}: is a file, expected a folder to write to")
        if out.is_dir() and next(out.iterdir(), None) is not None:
            raise InputError(f"{out}: is not empty, expected a new or empty folder")
        shutil.rmtree(beside, ignore_errors=True)  # left by a killed process with our process id
        beside.mkdir(parents=True)
        for name, content in _files(ds, extra or {}):
            target = beside / name
            if target.exists():
                raise InputError(f"extra file {name!r}: the data set has a file of that name")
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, content)
        _read_back(beside, out)
        os.replace(beside, out)
    except UnicodeEncodeError as error:
        raise InputError(
            f"{out}: not written: a text holds half a surrogate pair, which is not Unicode text"
        ) from error
    except OSError as error:
        if error.errno in _PLACE:
            raise InputError(f"{out}: cannot be written ({error.strerror})") from error
        raise WorkError(f"{out}: writing failed ({error.strerror or error}); no files remain") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write(target: Path, content: bytes | Iterable[str]) -> None:
    """Write bytes unchanged, or lines gzipped without a timestamp, so that equal data gives equal bytes."""
    if isinstance(content, bytes):
        target.write_bytes(content)
        return
    with target.open("wb") as raw, gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed:
        with io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text:
            text.writelines(content)


def _read_back(beside: Path, out: Path) -> None:
    """Raise if ``load_dataset`` would reject the data set."""
    try:
        strict(read_folder(beside))
    except InputError as error:
        reason = str(error).replace(f"{beside}{os.sep}", "")
        raise InputError(f"{out}: not written, as this data set would not load: {reason}") from error


def _files(ds: Dataset, extra: dict[str, bytes | str]) -> Iterator[tuple[str, bytes | Iterable[str]]]:
    """Yield the name of each file, and its bytes or the lines to compress."""
    if ds.features is None or ds.has_texts:
        yield from _texts(ds)
    else:
        yield from _numbers(ds)
    if ds.features is not None:
        yield from _bags(ds, ds.features)
    yield "filter_labels_train.txt", _pairs(ds.train_filter)
    yield "filter_labels_test.txt", _pairs(ds.test_filter)
    for kind, graph in sorted(ds.graphs.items()):
        yield f"graphs/{kind}.raw.txt.gz", map(_line, graph.anchors)
        for part, matrix in (("trn", graph.points), ("lbl", graph.labels)):
            if matrix is not None:
                yield f"graphs/{kind}_{part}_X_Y.npz", sparse_npz(_sorted(matrix))
    yield "card.yaml", card_yaml(ds.card).encode()
    for path, content in sorted(extra.items()):
        if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise InputError(f"extra file {path!r}: expected a path inside the data set's folder")
        yield path, content.encode() if isinstance(content, str) else content


def _bags(ds: Dataset, features: Features) -> Iterator[tuple[str, bytes | Iterable[str]]]:
    """Yield the feature matrices and feature names."""
    yield "trn_X_Xf.npz", sparse_npz(_sorted(features.train))
    if len(ds.test):
        yield "tst_X_Xf.npz", sparse_npz(_sorted(features.test))
    if features.labels is not None:
        yield "lbl_X_Xf.npz", sparse_npz(_sorted(features.labels))
    if features.names:
        yield "Xf.txt.gz", map(_line, features.names)


def _numbers(ds: Dataset) -> Iterator[tuple[str, bytes | Iterable[str]]]:
    """Yield targets and label names of a data set without texts; uids are row numbers."""
    for name, targets in [("trn", ds.train_targets), ("tst", ds.test_targets)][: 2 if len(ds.test) else 1]:
        yield f"{name}_X_Y.txt.gz", sparse_text(_sorted(targets))
    yield "Y.txt.gz", map(_line, ds.labels.titles)


def _texts(ds: Dataset) -> Iterator[tuple[str, bytes | Iterable[str]]]:
    splits = [("trn", ds.train, ds.train_targets), ("tst", ds.test, ds.test_targets)]
    for name, texts, targets in splits[: 2 if len(ds.test) else 1]:
        if targets.shape != (len(texts), ds.n_labels):
            raise InputError(
                f"{name} targets are {targets.shape}, expected {(len(texts), ds.n_labels)}: points, labels"
            )
        targets = _sorted(targets)
        yield f"{name}.json.gz", _records(texts, targets)
        yield f"{name}_X_Y.txt.gz", sparse_text(targets)
    yield "lbl.json.gz", _records(ds.labels, None)


def _records(texts: Texts, targets: sp.csr_matrix | None) -> Iterator[str]:
    """Yield the json lines of one split, or of the labels, which have no targets."""
    for row, (uid, title, content) in enumerate(zip(texts.uids, texts.titles, texts.contents, strict=True)):
        record: dict[str, object] = {"uid": uid, "title": one_line(title), "content": one_line(content)}
        if targets is not None:
            span = slice(targets.indptr[row], targets.indptr[row + 1])
            record["target_ind"] = targets.indices[span].tolist()
            record["target_rel"] = targets.data[span].tolist()
        yield json.dumps(record, ensure_ascii=False) + "\n"


def _line(text: str) -> str:
    return one_line(text) + "\n"


def _sorted(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return a copy with sorted columns, so that equal matrices give equal bytes."""
    matrix = matrix.copy()
    matrix.sort_indices()
    return matrix


def _pairs(pairs: np.ndarray) -> bytes:
    return "".join(f"{row} {label}\n" for row, label in pairs.tolist()).encode()
