"""Sparse matrices as ``.npz``, in the format of ``scipy.sparse.save_npz``."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from ramen.data.files import Problem, Reading
from ramen.data.sparse_text import repeated_columns

_PARTS = ("format", "shape", "data", "indices", "indptr")


def read_sparse_npz(path: Path) -> Reading[sp.csr_matrix | None]:
    """Read one untrusted CSR matrix: without pickle, and with every index checked.

    scipy's reader does not check indices, so its kernels may read out of bounds.

    Yields:
        A Problem if the file is not a CSR matrix, and for each row with an invalid column or a non-finite value.

    Returns:
        float32 CSR with sorted columns, or None after a problem.
    """
    try:
        with path.open("rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as archive:
            arrays = {part: archive[part] for part in _PARTS if part in archive.files}
    except Exception as error:  # zipfile, zlib and numpy's header parser raise a dozen kinds on broken bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield Problem(path, f"not a readable scipy sparse matrix ({reason})")
        return None
    # NumPy gives a member that is no array as bytes
    missing = [part for part in _PARTS if not isinstance(arrays.get(part), np.ndarray)]
    if missing:
        yield Problem(path, f"no array {missing[0]!r}, expected a scipy sparse matrix (scipy.sparse.save_npz)")
        return None
    form, shape, data, indices, indptr = (arrays[part] for part in _PARTS)
    name = form.item() if form.ndim == 0 else form
    name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    if name != "csr":
        yield Problem(path, f"sparse format {name!r}, expected 'csr' (save matrix.tocsr())")
        return None
    fault = _fault(shape, data, indices, indptr)
    if fault:
        yield Problem(path, f"broken CSR matrix: {fault}")
        return None
    n_rows, n_columns = (int(n) for n in shape)
    indices, indptr = indices.astype(np.int64), indptr.astype(np.int64)
    rows = np.repeat(np.arange(n_rows), np.diff(indptr))
    with np.errstate(over="ignore"):
        values = data.astype(np.float32)
    outside = (indices < 0) | (indices >= n_columns)
    for at in _first_of_each_row(rows, outside):
        yield Problem(path, f"column {indices[at]} is out of range (0 to {n_columns - 1})", row=int(rows[at]) + 1)
    infinite = ~np.isfinite(values)
    for at in _first_of_each_row(rows, infinite):
        yield Problem(path, f"value {data[at]} of column {indices[at]} is not finite", row=int(rows[at]) + 1)
    if outside.any() or infinite.any():
        return None
    matrix = sp.csr_matrix((values, indices, indptr), shape=(n_rows, n_columns))
    matrix.sort_indices()
    repeated = repeated_columns(matrix)
    for row, column in repeated:
        yield Problem(path, f"column {column} occurs twice, expected once", row=row + 1)
    return None if repeated else matrix


def sparse_npz(matrix: sp.csr_matrix) -> bytes:
    """Return bytes for ``scipy.sparse.load_npz``; unlike those of ``save_npz`` they have no timestamp."""
    index_type = np.int32 if max(*matrix.shape, matrix.nnz) < 2**31 else np.int64
    arrays = {
        "indices": matrix.indices.astype(index_type),
        "indptr": matrix.indptr.astype(index_type),
        "format": np.array(b"csr"),
        "shape": np.array(matrix.shape, dtype=np.int64),
        "data": matrix.data.astype(np.float32),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            plain = io.BytesIO()
            np.lib.format.write_array(plain, array, allow_pickle=False)
            archive.writestr(member, plain.getvalue())
    return packed.getvalue()


def _fault(shape: np.ndarray, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> str:
    """Return why four arrays are no CSR matrix, or ""."""
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 0).any():
        return f"shape {shape.tolist()}, expected two counts"
    if data.ndim != 1 or data.dtype.kind not in "biuf":
        return f"data of type {data.dtype} and {data.ndim} dimensions, expected a row of numbers"
    if indices.ndim != 1 or indptr.ndim != 1 or indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
        return "indices and indptr must be rows of integers"
    if len(indptr) != shape[0] + 1:
        return f"indptr has {len(indptr)} entries, expected {shape[0] + 1} for {shape[0]} rows"
    if indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any():
        return "indptr must start at 0 and never fall"
    if not len(data) == len(indices) == indptr[-1]:
        return f"{len(data)} values and {len(indices)} indices, expected {indptr[-1]} of each as indptr says"
    return ""


def _first_of_each_row(rows: np.ndarray, wrong: np.ndarray) -> list[int]:
    """Return the position of the first invalid entry of each row that has one."""
    at = np.flatnonzero(wrong)
    return [int(i) for i in at[np.unique(rows[at], return_index=True)[1]]]
