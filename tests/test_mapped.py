"""Mapped files: the arrays and strings that were written, and what is said of damaged ones."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from ramen.errors import InputError
from ramen.mapped import StringTable, map_tensors

TENSORS = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.array([1, -2], dtype=np.int8),
    "none": np.empty((0, 5), dtype=np.int64),
    "half": np.array([0x3F80], dtype=np.uint16),
    "signs": np.array([[2**63 + 1]], dtype=np.uint64),
}


def test_arrays_are_those_written(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors")
    found = map_tensors(tmp_path / "x.safetensors")
    assert set(found) == set(TENSORS)
    for name, array in TENSORS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_writing_into_an_array_leaves_the_file(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path)
    before = path.read_bytes()
    map_tensors(path)["a"][:] = 0
    assert path.read_bytes() == before


def test_arrays_outlive_a_replaced_file(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path)
    found = map_tensors(path)
    save_file({"a": np.zeros(1)}, tmp_path / "y")
    os.replace(tmp_path / "y", path)
    np.testing.assert_array_equal(found["a"], TENSORS["a"])


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: raw[:9], lambda raw: b"", lambda raw: b"x" * 50])
def test_damaged_files_are_named(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"x\.safetensors: "):
        map_tensors(path)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_a_table_is_its_strings(strings):
    table = StringTable.of(strings)
    assert list(table) == strings and table[1:] == strings[1:]
    table = StringTable.of(sorted(set(strings)))
    assert all(table.place(string) == place for place, string in enumerate(table))
    assert table.place("\U0010ffff\U0010ffff") is None
    with pytest.raises(IndexError):
        table[len(table)]
