"""``y`` in the hands of pandas, polars and NumPy."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ramen.errors import InputError
from ramen.targets import Form, read_targets

ROWS = [["a", "b"], ["c"], []]


def objects(rows):
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


@pytest.mark.parametrize(
    "hold",
    [
        pl.Series,
        lambda rows: pl.DataFrame({"y": rows}),
        lambda rows: pl.Series(rows).to_arrow(),
        pd.Series,
        lambda rows: pd.Series([np.array(row, dtype=object) for row in rows]),
        lambda rows: pd.Series([set(row) for row in rows]),
        lambda rows: pd.DataFrame({"y": rows}),
        objects,
        lambda rows: [pd.Series(row, dtype=object) for row in rows],
        lambda rows: [pl.Series(row, dtype=pl.String) for row in rows],
    ],
)
def test_lists_of_labels(hold):
    found = read_targets(hold(ROWS))
    assert found.form is Form.LISTS and found.names == found.values == ROWS


@pytest.mark.parametrize("hold", [pl.Series, pd.Series, objects, lambda rows: pd.Series(map(np.array, rows))])
def test_rows_of_0_and_1_are_an_indicator(hold):
    found = read_targets(hold([[0, 1, 1], [1, 0, 0]]))
    assert found.form is Form.INDICATOR and found.values.tolist() == [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (objects([None, ["a"]]), r"y, row 0: found None, expected a list of strings, \[\] for a text without labels"),
        (pl.Series([["a"], None]), "y, row 1: found None, expected a list of strings"),
        (pd.Series([["a"], float("nan")]), "y, row 1: found nan, expected a list of strings"),
        (pl.Series([["a"], [None]]), r"y, row 1: found \[None\], expected a list of strings"),
        (objects([["a"], pd.Series(["b", 1] * 9)]), r"y, row 1: found \['b', 1, 'b'"),
        (objects(["a", pl.Series(["b"] * 9)]), "y, row 1: found shape: .*, expected a string"),
        (objects([["a"], np.array([["b", "c"]])]), "y, row 1: found a table of 2 columns"),
        ([{0, 1}, {0, 1}], "y, row 0: found {0, 1}, expected a list of strings"),
    ],
)
def test_what_is_no_label_is_one_line(y, message):
    with pytest.raises(InputError, match=message) as caught:
        read_targets(y)
    assert "\n" not in str(caught.value)
