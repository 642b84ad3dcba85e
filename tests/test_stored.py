"""Checks of arrays and JSON: what is wrong is named with its place, and sound files pass unchanged."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from ramen.errors import InputError
from ramen.mapped import StringTable
from ramen.stored import Tensors, check_fields, parse_json, read_json

LARGE = (1 << 18) + 5  # more than one block


@pytest.fixture
def stored(tmp_path):
    def write(full=True, **arrays):
        save_file({name: np.array(array) for name, array in arrays.items()}, tmp_path / "a.safetensors")
        return Tensors(tmp_path / "a.safetensors", full)

    return write


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_found_at_its_place(stored, dtype, value):
    array = np.zeros((1, LARGE), dtype)
    assert stored(x=array).array("x", dtype, (1, None)).shape == array.shape
    array[0, -2] = value
    with pytest.raises(InputError, match=rf"x: found {value} at position {LARGE - 2}, expected finite numbers"):
        stored(x=array).array("x", dtype, (1, None))
    assert stored(full=False, x=array).array("x", dtype, (1, None)).shape == array.shape


@pytest.mark.parametrize(("value", "fits"), [(-1, True), (-2, False), (6, True), (7, False)])
def test_bounds_of_integers(stored, value, fits):
    array = np.zeros(LARGE, "i4")
    array[LARGE - 1] = value
    if fits:
        np.testing.assert_array_equal(stored(x=array).integers("x", "i4", (LARGE,), -1, 7), array)
        return
    with pytest.raises(InputError, match=f"x: found {value} at position {LARGE - 1}, expected numbers from -1 to 6"):
        stored(x=array).integers("x", "i4", (LARGE,), -1, 7)


@pytest.mark.parametrize(
    ("offsets", "found"),
    [
        ([0, 2, 5], None),
        ([0, 0, 5], None),
        ([0, 6, 5], "found 5 after 6 at position 2"),
        ([0, -1, 5], "found -1 after 0 at position 1"),
        ([1, 2, 5], "found 1 to 5, expected offsets from 0 to 5"),
        ([0, 2, 4], "found 0 to 4, expected offsets from 0 to 5"),
        ([0, 5], r"found int64 of shape \(2,\), expected int64 of shape \(3\)"),
    ],
)
def test_offsets(stored, offsets, found):
    tensors = stored(x=offsets)
    if not found:
        assert tensors.offsets("x", 2, 5).tolist() == offsets
        return
    with pytest.raises(InputError, match=f"x: {found}"):
        tensors.offsets("x", 2, 5)


def test_strings_of_any_script_pass_and_damaged_ones_do_not(stored):
    table = StringTable.of(["", "caf\u00e9", "\u8336", "\ud800", ""])
    assert list(stored(text=table.text, ends=table.ends).strings(5)) == list(table)
    inside = table.ends.copy()
    inside[1] -= 1
    with pytest.raises(InputError, match="ends: found 4 within a character"):
        stored(text=table.text, ends=inside).strings()
    with pytest.raises(InputError, match="ends: found "):
        stored(text=table.text, ends=table.ends - 1).strings()
    text = table.text.copy()
    text[3] = 255
    with pytest.raises(InputError, match="text: found byte 3 that is not UTF-8"):
        stored(text=text, ends=table.ends).strings()


def test_a_part_names_the_array_as_the_file_does(stored):
    part = stored(**{"a.x": [1.0], "b.x": [2.0]}).part("b.")
    assert part.array("x", "f8", (1,)).tolist() == [2.0] and "x" in part and list(part.arrays()) == ["x"]
    with pytest.raises(InputError, match=r"a\.safetensors: b\.y: found no such array, expected one"):
        part.array("y", "f8", (1,))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "found null, expected an object with k, names"),
        ({"names": []}, "k: found no such key, expected a number above 0"),
        ({"k": True, "names": []}, "k: found true, expected a number above 0"),
        ({"k": 0, "names": []}, "k: found 0, expected"),
        ({"k": float("nan"), "names": []}, "k: found NaN, expected"),
        ({"k": 10**400, "names": []}, "k: found 1000"),
        ({"k": 1, "names": ["a", 1]}, 'names: found ["a", 1], expected a list of strings'),
        ({"k": 1, "names": [], "more": 1}, "found the key 'more', expected only k, names, seed"),
        ({"k": 1, "names": [], "seed": "x"}, 'seed: found "x", expected a number'),
    ],
)
def test_fields(value, message):
    with pytest.raises(InputError) as caught:
        check_fields("a.json", value, {"k": "a number above 0", "names": "a list of strings"}, {"seed": "a number"})
    assert str(caught.value).startswith(f"a.json: {message}") and len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["", "{", "[" * 200_000, b"\xff", b"\xff\xfe{", "nope"])
def test_what_is_not_json(text):
    with pytest.raises(InputError, match="a.json: found .*expected JSON"):
        parse_json("a.json", text)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"a\.json: missing"):
        read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"a\.safetensors: missing"):
        Tensors(tmp_path / "a.safetensors")
