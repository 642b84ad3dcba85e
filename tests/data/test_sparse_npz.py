"""The npz matrices: scipy's format, byte for byte the same, and nothing in them trusted."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp

from ramen.data.files import collect, strict
from ramen.data.sparse_npz import read_sparse_npz, sparse_npz
from ramen.errors import InputError

MATRIX = sp.csr_matrix(np.array([[0, 1, 0.5], [0, 0, 0], [2, 0, 0]], dtype=np.float32))


def parts(**changed) -> dict:
    arrays = {
        "format": np.array(b"csr"),
        "shape": np.array([3, 3]),
        "data": MATRIX.data,
        "indices": MATRIX.indices,
        "indptr": MATRIX.indptr,
    }
    return arrays | changed


def test_scipy_reads_ours_and_we_read_scipys(tmp_path):
    ours, scipys = tmp_path / "ours.npz", tmp_path / "scipys.npz"
    ours.write_bytes(sparse_npz(MATRIX))
    sp.save_npz(scipys, MATRIX)
    np.testing.assert_array_equal(sp.load_npz(ours).toarray(), MATRIX.toarray())
    for path in (ours, scipys):
        read = strict(read_sparse_npz(path))
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read.toarray(), MATRIX.toarray())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"indices": np.array([1, 3, 0])}, r"bad\.npz, row 1: column 3 is out of range \(0 to 2\)"),
        ({"indices": np.array([1, 2, -1])}, r"bad\.npz, row 3: column -1 is out of range"),
        ({"indices": np.array([1, 1, 0])}, r"bad\.npz, row 1: column 1 occurs twice"),
        ({"data": np.array([1, 1, np.nan])}, r"bad\.npz, row 3: value nan of column 0 is not finite"),
        ({"data": np.array([1, 1])}, r"bad\.npz: broken CSR matrix: 2 values and 3 indices"),
        ({"data": np.array(["a", "b", "c"])}, r"bad\.npz: broken CSR matrix: data of type"),
        ({"indptr": np.array([0, 2, 3])}, r"bad\.npz: broken CSR matrix: indptr has 3 entries, expected 4"),
        ({"indptr": np.array([0, 2, 1, 3])}, r"bad\.npz: broken CSR matrix: indptr must start at 0"),
        ({"indptr": np.array([0.0, 2, 2, 3])}, r"bad\.npz: broken CSR matrix: .* rows of integers"),
        ({"shape": np.array([3])}, r"bad\.npz: broken CSR matrix: shape \[3\], expected two counts"),
        ({"format": np.array(b"csc")}, r"bad\.npz: sparse format 'csc', expected 'csr'"),
    ],
)
def test_a_broken_matrix_is_named(tmp_path, changed, expected):
    path = tmp_path / "bad.npz"
    np.savez(path, **parts(**changed))
    with pytest.raises(InputError, match=expected):
        strict(read_sparse_npz(path))


def test_an_npz_of_something_else_is_named(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(InputError, match=r"bad\.npz: no array 'format', expected a scipy sparse matrix"):
        strict(read_sparse_npz(path))


@pytest.mark.parametrize("name", ["format", "shape", "data", "indices", "indptr"])
def test_a_member_that_is_no_array_is_named(tmp_path, name):
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(io.BytesIO(sparse_npz(MATRIX))) as whole, zipfile.ZipFile(path, "w") as bad:
        for member in whole.namelist():
            bad.writestr(member, b"no array" if member == f"{name}.npy" else whole.read(member))
    with pytest.raises(InputError, match=rf"bad\.npz: no array '{name}', expected a scipy sparse matrix"):
        strict(read_sparse_npz(path))


def test_objects_are_never_unpickled(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, **parts(data=np.array([{}, {}, {}], dtype=object)))
    with pytest.raises(InputError, match=r"bad\.npz: not a readable scipy sparse matrix \(.*allow_pickle=False"):
        strict(read_sparse_npz(path))


@pytest.mark.parametrize("data", [b"", b"not a zip", sparse_npz(MATRIX)[:200], b"PK\x03\x04" + b"\0" * 50])
def test_a_file_that_is_no_npz_is_named(tmp_path, data):
    path = tmp_path / "bad.npz"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.npz: not a readable scipy sparse matrix"):
        strict(read_sparse_npz(path))


def test_a_lone_npy_under_the_name_is_named(tmp_path):
    path = tmp_path / "bad.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(InputError, match=r"bad\.npz: not a readable scipy sparse matrix"):
        strict(read_sparse_npz(path))


def test_every_flipped_byte_is_read_or_refused(tmp_path):
    path = tmp_path / "bad.npz"
    sound = bytearray(sparse_npz(MATRIX))
    refused = 0
    for at in range(0, len(sound), 7):
        broken = sound.copy()
        broken[at] ^= 0xFF
        path.write_bytes(broken)
        _, problems = collect(read_sparse_npz(path))
        refused += bool(problems)
    assert refused > 50
