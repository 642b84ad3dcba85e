"""RamenClassifier in the hands of scikit-learn."""

import gc
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import ramen
from ramen.errors import InputError

NOUNS = ["apple", "pear", "plum", "cherry"]
SHADES = ["red", "green", "blue", "dark", "light", "sour"]
TEXTS = [f"{shade} {noun}" for noun in NOUNS for shade in SHADES]
LABELS = [[noun, "fruit"] if shade != "dark" else [noun] for noun in NOUNS for shade in SHADES]


@pytest.fixture(scope="module")
def settings(tiny_backbone):
    """Of a run of a second."""
    quick = ["training.epochs=1", "training.min_steps=2", "dense.epochs=1", "validation.share=0", "encoder.min_count=1"]
    return {"overrides": [f"encoder.backbone={tiny_backbone}", *quick], "k": 2}


@pytest.fixture(scope="module")
def fitted(settings):
    return ramen.RamenClassifier(**settings).fit(TEXTS, LABELS)


def test_it_tells_label_strings(fitted):
    found = fitted.predict(["red apple", "blue plum"])
    assert [len(row) for row in found] == [2, 2]
    assert found[0][0] in {"apple", "fruit"} and "plum" in found[1]
    assert list(fitted.classes_) == sorted([*NOUNS, "fruit"])
    assert fitted.score(TEXTS, LABELS) > 0.8
    assert fitted.score(["red apple"], [[]]) == 0


def test_scores_are_sparse_and_agree_with_predict(fitted):
    scores = fitted.decision_function(TEXTS[:3])
    assert sp.issparse(scores) and scores.dtype == np.float32 and scores.shape == (3, 5)
    for row, names in zip(scores, fitted.predict(TEXTS[:3]), strict=True):
        best = row.indices[np.argsort(-row.data, kind="stable")[:2]]
        assert set(fitted.classes_[best]) == set(names)


def test_arrays_do_as_well(fitted):
    assert fitted.predict(np.array(TEXTS[:2])) == fitted.predict(tuple(TEXTS[:2]))


def test_k_may_change_after_fitting(fitted):
    again = fitted.get_params()["k"]
    try:
        assert len(fitted.set_params(k=3).predict(["red apple"])[0]) == 3
    finally:
        fitted.set_params(k=again)


def test_clone_and_parameters(settings, fitted):
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params() and not hasattr(copied, "tagger_")
    assert set(copied.get_params()) == {"preset", "overrides", "seed", "k", "run_folder"}


def test_it_cross_validates_in_a_pipeline(settings):
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    pipeline = make_pipeline(lower, ramen.RamenClassifier(**settings))
    found = cross_validate(pipeline, [text.upper() for text in TEXTS], LABELS, cv=2, error_score="raise")
    assert found["test_score"].shape == (2,) and (found["test_score"] >= 0).all()


def test_the_temporary_folder_goes_with_it(settings):
    model = ramen.RamenClassifier(**settings).fit(TEXTS, LABELS)
    first = model.tagger_.run.path
    assert first.is_dir()
    second = model.fit(TEXTS, LABELS).tagger_.run.path
    assert not first.exists() and second.is_dir()
    del model
    gc.collect()
    assert not second.exists() and not second.parent.exists()


def test_a_named_folder_stays(settings, tmp_path):
    model = ramen.RamenClassifier(**settings, run_folder=tmp_path / "run").fit(TEXTS, LABELS)
    told = model.predict(["sour cherry"])
    with pytest.raises(InputError):  # a run is there already
        model.fit(TEXTS, LABELS)
    del model
    gc.collect()
    assert [[label["uid"] for label in ramen.Tagger.load(tmp_path / "run").tag(["sour cherry"], k=2)[0]]] == told


@pytest.mark.parametrize("method", ["predict", "decision_function"])
def test_fit_comes_first(method):
    with pytest.raises(NotFittedError):
        getattr(ramen.RamenClassifier(), method)(["red apple"])
    with pytest.raises(NotFittedError):
        ramen.RamenClassifier().score(["red apple"], [["apple"]])


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        ([], [], "texts: found none"),
        ("red apple", [["apple"]], "texts: found 'red apple', expected a list"),
        (["red apple"], "apple", "label_lists: found 'apple', expected a list"),
        (["red apple"], ["apple"], "label_lists, row 0: found 'apple', expected a list"),
        (["red apple"], [None], "label_lists, row 0: found None, expected a list"),
        (["red apple"], [[1]], "label_lists, row 0: found"),
        (["red apple"], [["apple"], ["pear"]], "label_lists: 2 rows, expected 1"),
        ([7], [["apple"]], "texts, row 0: found int"),
        (["red apple"], [[]], "labels: found none"),
    ],
)
def test_bad_input_is_one_clear_error(texts, labels, said):
    with pytest.raises(InputError, match=said):
        ramen.RamenClassifier().fit(texts, labels)


def test_predicting_bad_input(fitted):
    for texts in [[], "red apple", [" "], [7]]:
        with pytest.raises(InputError):
            fitted.predict(texts)
    with pytest.raises(InputError, match="k=0"):
        ramen.RamenClassifier(k=0).fit(TEXTS, LABELS)


def test_it_names_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "ramen.estimator")
    with pytest.raises(InputError, match=r"pip install 'ramen-xc\[train\]'"):
        ramen.RamenClassifier  # noqa: B018
