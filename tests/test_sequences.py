import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from datasets import Dataset as Rows
from ramen.errors import InputError
from ramen.sequences import as_list, is_missing

WORDS = ["red", "green", "blue"]
HELD = {
    "list": WORDS,
    "tuple": tuple(WORDS),
    "generator": (word for word in WORDS),
    "keys": dict.fromkeys(WORDS).keys(),
    "array": np.array(WORDS),
    "objects": np.array(WORDS, dtype=object),
    "column": np.array(WORDS)[:, None],
    "series": pd.Series(WORDS, index=[7, 3, 7]),
    "index": pd.Index(WORDS),
    "frame": pd.DataFrame({"text": WORDS}, index=[2, 1, 0]),
    "polars": pl.Series(WORDS),
    "polars frame": pl.DataFrame({"text": WORDS}),
    "datasets": Rows.from_dict({"text": WORDS})["text"],
    "datasets of one column": Rows.from_dict({"text": WORDS}),
    "datasets in a format": Rows.from_dict({"text": WORDS}).with_format("numpy"),
    "arrow table": pl.DataFrame({"text": WORDS}).to_arrow(),
    "arrow column": pl.Series(WORDS).to_arrow(),
    "frame of an odd name": pd.DataFrame({"column_names": WORDS}),
}


@pytest.mark.parametrize("kind", HELD)
def test_values_keep_their_order(kind):
    assert as_list(HELD[kind], "texts") == WORDS


def test_numbers_become_python_s():
    assert [type(value) for value in as_list(np.array([1, 2]), "labels", "numbers")] == [int, int]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ("red", "one string"),
        (b"red", "one string"),
        ({"red": 1}, "dict"),
        ({"red"}, "set"),
        (3, "int"),
        (np.array("red"), "ndarray"),
        (np.zeros((2, 3)), "3 columns"),
        (pd.DataFrame({"a": WORDS, "b": WORDS}), "2 columns"),
        (Rows.from_dict({"a": WORDS, "b": WORDS}), "2 columns"),
        (sp.csr_matrix((3, 1)), "sparse matrix"),
    ],
)
def test_what_has_no_order_or_several_columns_is_refused(values, found):
    with pytest.raises(InputError, match=rf"texts: found .*{found}"):
        as_list(values, "texts")


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT])
def test_missing_values(value):
    assert is_missing(value)


@pytest.mark.parametrize("value", ["", "nan", 0, 0.0, False, [], np.zeros(0), "None"])
def test_values_that_are_there(value):
    assert not is_missing(value)
