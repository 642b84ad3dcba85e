"""RamenClassifier in the hands of scikit-learn."""

import gc
import sys
from copy import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import ClassifierMixin, clone, is_classifier
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer
from sklearn.utils import get_tags

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
    assert set(copied.get_params()) == {"preset", "overrides", "seed", "k", "threshold", "run_folder", "verbose"}


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
        ([], [], "X: found none"),
        ("red apple", [["apple"]], "X: found one string, expected a list"),
        (["red apple"], "apple", "y: found one string, expected a list"),
        (["red apple"], None, "y: found None"),
        (["red apple"], [None], "y, row 0: found None, expected a label"),
        (["red apple", "a"], [["apple"], "pear"], "y, row 1: found 'pear', expected a list"),
        (["red apple", "a"], ["apple", 1], "y, row 1: found 1, expected a string"),
        (["red apple", "a"], [1, 1.5], "y, row 1: found 1.5, a continuous target"),
        (["red apple"], [[1]], r"y, row 0: found \[1\], expected a list of strings"),
        (["red apple"], [["apple"], ["pear"]], "y: 2 rows, expected 1"),
        (["red apple"], np.array([[0, 2]]), "y: found 2 in a table of several columns, expected 0 or 1"),
        ([7], [["apple"]], "X, row 0: found int"),
        (["red apple"], [[]], "labels: found none"),
    ],
)
def test_bad_input_is_one_clear_error(texts, labels, said):
    with pytest.raises(InputError, match=said):
        ramen.RamenClassifier().fit(texts, labels)


def test_predicting_bad_input(fitted):
    for texts in [[], "red apple", [7]]:
        with pytest.raises(InputError):
            fitted.predict(texts)
    for empty in [" ", "", None, float("nan")]:
        with pytest.raises(InputError, match="X, row 1: expected words"):
            fitted.predict(["red apple", empty])
    with pytest.raises(InputError, match="k=0"):
        ramen.RamenClassifier(k=0).fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def many(settings):
    """Settings and texts for a run with probabilities: 200 texts that each name their label."""
    quick = [setting for setting in settings["overrides"] if not setting.startswith("validation")]
    texts = [f"item {at} {NOUNS[at % 4]}" for at in range(200)]
    names = [NOUNS[at % 4] for at in range(200)]
    return {"overrides": [*quick, "graph.lambda=fixed", "sparse.choose=false"]}, texts, names


@pytest.fixture(scope="module")
def of_single_labels(many):
    settings, texts, names = many
    return ramen.RamenClassifier(**settings).fit(texts, names)


@pytest.fixture(scope="module")
def of_indicator(many):
    settings, texts, names = many
    return ramen.RamenClassifier(**settings).fit(texts, indicator(names))


def indicator(names):
    """Columns in the order of NOUNS, and one that no text has."""
    return np.array([[*(name == noun for noun in NOUNS), False] for name in names], dtype=int)


def test_single_labels(of_single_labels, many):
    _, texts, names = many
    found = of_single_labels.predict(["a pear", "the plum"])
    assert isinstance(found, np.ndarray) and found.tolist() == ["pear", "plum"]
    assert of_single_labels.classes_.tolist() == sorted(NOUNS)
    assert of_single_labels.score(texts, names) == 1.0
    scores = of_single_labels.decision_function(texts[:4])
    assert scores.shape == (4, 4) and sorted(NOUNS)[scores[0].argmax()] == "apple"


def test_probabilities_of_single_labels_sum_to_one(of_single_labels, many):
    _, texts, names = many
    found = of_single_labels.predict_proba(texts)
    assert isinstance(found, np.ndarray) and found.dtype == np.float64 and found.shape == (200, 4)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found.max(axis=1).min() > 0.8
    assert (of_single_labels.classes_[found.argmax(axis=1)] == names).all()


@pytest.mark.parametrize("values", [[3, 1], [True, False], [2.0, 1.0]])
def test_numbers_as_single_labels(settings, values):
    y = [values[noun == "pear"] for noun in NOUNS[:2] for _ in SHADES]
    model = ramen.RamenClassifier(**settings).fit(TEXTS[:12], y)
    assert model.classes_.tolist() == sorted(values)
    assert model.predict(["red apple", "red pear"]).tolist() == values
    scores = model.decision_function(["red apple", "red pear"])  # of the second class, as scikit-learn has it
    assert scores.shape == (2,) and scores[0] > 0 > scores[1]


def test_one_class(settings):
    model = ramen.RamenClassifier(**settings).fit(TEXTS[:6], ["apple"] * 6)
    assert model.predict(["dark plum"]).tolist() == ["apple"]


def test_a_class_without_training_text_is_said(of_single_labels):
    with pytest.warns(UserWarning, match=r"y: 1 of 2 labels had no training text"):
        assert of_single_labels.score(["a pear", "a melon"], ["pear", "melon"]) == 0.5


def test_indicator_matrix(of_indicator, many):
    _, texts, names = many
    assert of_indicator.classes_.tolist() == [0, 1, 2, 3, 4]
    found = of_indicator.predict(["a pear", "the plum"])
    assert isinstance(found, np.ndarray) and found.dtype == np.int64
    assert found.tolist() == [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
    chances = of_indicator.predict_proba(["a pear"])
    assert chances.shape == (1, 5) and chances[0, 1] > 0.9 and chances[0, 4] == 0
    assert of_indicator.decision_function(["a pear"])[0].argmin() == 4  # it has no training text
    wrong = indicator(names)
    wrong[0, 4] = 1
    assert of_indicator.score(texts, indicator(names)) == 1.0 and of_indicator.score(texts, wrong) == 0.995


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array, sp.csc_array])
def test_sparse_indicator_matrix(many, kind):
    settings, texts, names = many
    model = ramen.RamenClassifier(**settings).fit(texts, kind(indicator(names)))
    found, chances = model.predict(["a pear"]), model.predict_proba(["a pear"])
    assert isinstance(found, sp.sparray) == isinstance(chances, sp.sparray) == (kind is not sp.csr_matrix)
    assert found.format == "csr" and found.toarray().tolist() == [[0, 1, 0, 0, 0]]
    assert model.score(texts, kind(indicator(names))) == 1.0


@pytest.mark.parametrize("kind", [bool, float, lambda table: table.tolist(), pd.DataFrame, pl.DataFrame])
def test_indicator_matrices_of_other_types(settings, kind):
    """Without probabilities, the k best."""
    names = [noun for noun in NOUNS for _ in SHADES]
    table = indicator(names)
    y = table.astype(kind) if kind in (bool, float) else kind(table)
    model = ramen.RamenClassifier(**{**settings, "k": 1}).fit(TEXTS, y)
    assert model.predict(["red pear"]).tolist() == [[0, 1, 0, 0, 0]]
    assert model.set_params(k=3).predict(["red pear"]).sum() == 3


def test_names_of_columns_are_texts_of_labels(settings):
    y = pd.DataFrame(indicator([noun for noun in NOUNS for _ in SHADES]), columns=[*NOUNS, "melon"])
    model = ramen.RamenClassifier(**settings).fit(TEXTS, y)
    assert [*model.tagger_.run.uids] == ["0", "1", "2", "3"] and [*model.tagger_.run.texts] == NOUNS


def test_threshold(of_indicator, many):
    settings, texts, names = many
    text = ["apple pear"]
    try:
        assert of_indicator.set_params(threshold=0.0).predict(text).tolist() == [[1, 1, 1, 1, 0]]
        assert of_indicator.set_params(threshold=1.0).predict(text).tolist() == [[0, 0, 0, 0, 0]]
    finally:
        of_indicator.set_params(threshold=None)
    model = ramen.RamenClassifier(**settings, k=3).fit(texts, [[name] for name in names])
    assert len(model.predict(["a pear"])[0]) == 3
    assert model.set_params(threshold=0.5).predict(["a pear"]) == [["pear"]]
    assert model.predict_proba(["a pear"]).format == "csr"
    with pytest.raises(InputError, match="threshold=2: expected None, 0 to 1, 'auto' or 'labels'"):
        model.set_params(threshold=2).predict(text)


@pytest.mark.parametrize("kind", ["auto", "labels"])
def test_thresholds_chosen_on_held_out_texts(of_indicator, many, kind):
    """They predict the labels that the tagger of the run returns with them."""
    _, texts, _ = many
    tagged = of_indicator.tagger_.tag(texts, k=100, threshold=kind)
    found = clone_of(of_indicator, threshold=kind).predict(texts)
    assert [{str(at) for at in np.flatnonzero(row)} for row in found] == [{one["uid"] for one in row} for row in tagged]
    assert 0 < found.sum() < clone_of(of_indicator, threshold=0.0).predict(texts).sum()
    per_label = of_indicator.tagger_.threshold("labels")
    assert len(per_label) == len(of_indicator.tagger_.run.uids)


def test_thresholds_of_each_label_are_those_of_the_ranked_labels(of_indicator, monkeypatch):
    best, second = of_indicator.tagger_.tag(["apple pear"], k=2)[0]
    rows = {uid: row for row, uid in enumerate(of_indicator.tagger_.run.uids)}
    lowest = np.ones(len(rows), np.float32)
    lowest[rows[second["uid"]]] = 0.0
    monkeypatch.setattr(of_indicator.tagger_, "threshold", lambda threshold: lowest)
    found = clone_of(of_indicator, threshold="labels").predict(["apple pear"])
    assert np.flatnonzero(found[0]).tolist() == [int(second["uid"])] and best["probability"] < 1


def test_a_chosen_threshold_of_label_lists(many):
    settings, texts, names = many
    model = ramen.RamenClassifier(**settings, k=3, threshold="auto").fit(texts, [[name] for name in names])
    tagged = model.tagger_.tag(texts, k=3, threshold="auto")
    assert model.predict(texts) == [[label["uid"] for label in row] for row in tagged]
    model.tagger_.run.thresholds = None
    with pytest.raises(InputError, match="has no thresholds: validation had too few right labels"):
        model.predict(texts)


def test_probabilities_need_held_out_points(fitted):
    with pytest.raises(InputError, match=r"^RamenClassifier: has no probabilities, .* about 100 or more"):
        fitted.predict_proba(["red apple"])
    with pytest.raises(InputError, match="^RamenClassifier: has no probabilities"):
        clone_of(fitted, threshold=0.5).predict(["red apple"])


def clone_of(fitted, **parameters):
    """The same run, other parameters."""
    return copy(fitted).set_params(**parameters)


def test_binarizer_and_back(many):
    settings, texts, names = many
    binarizer = MultiLabelBinarizer()
    model = ramen.RamenClassifier(**settings).fit(texts, binarizer.fit_transform([[name] for name in names]))
    assert binarizer.inverse_transform(model.predict(["a pear", "the plum"])) == [("pear",), ("plum",)]


def test_one_against_the_rest(settings):
    names = [noun for noun in NOUNS for _ in SHADES]
    model = OneVsRestClassifier(ramen.RamenClassifier(**settings)).fit(TEXTS, names)
    assert model.predict(["red pear", "sour plum"]).tolist() == ["pear", "plum"]


class Classifier(ClassifierMixin, ramen.RamenClassifier):
    """For single labels alone, as the page of the class has it."""


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_a_subclass_votes(many, voting):
    settings, texts, names = many
    with pytest.raises(ValueError, match="should be a classifier"):
        VotingClassifier([("a", ramen.RamenClassifier(**settings))]).fit(texts, names)
    model = VotingClassifier([("a", Classifier(**settings)), ("b", Classifier(**settings, seed=1))], voting=voting)
    assert model.fit(texts, names).predict(["a pear", "the plum"]).tolist() == ["pear", "plum"]


def test_stacked(many):
    settings, texts, names = many
    model = StackingClassifier([("a", ramen.RamenClassifier(**settings))], cv=StratifiedKFold(2))
    assert model.fit(texts, names).predict(["a pear", "the plum"]).tolist() == ["pear", "plum"]


def test_folds_of_a_subclass_are_stratified(many):
    settings, texts, names = many
    order = np.argsort(names, kind="stable")
    texts, names = np.array(texts)[order], np.array(names)[order]
    assert cross_val_score(Classifier(**settings), texts, names, cv=2, error_score="raise").min() > 0.9


def test_forms_at_fit_and_score_agree(of_single_labels, of_indicator):
    with pytest.raises(InputError, match="y: found lists of labels, expected single labels as in fit"):
        of_single_labels.score(["a pear"], [["pear"]])
    with pytest.raises(InputError, match="y: found 2 columns, expected 5 as in fit"):
        of_indicator.score(["a pear"], [[0, 1]])


def test_scikit_learn_takes_it_for_a_classifier_once_it_is_one(settings, fitted, of_single_labels, of_indicator):
    assert not is_classifier(fitted) and not is_classifier(ramen.RamenClassifier())  # else lists could not be split
    assert is_classifier(of_single_labels) and is_classifier(of_indicator)
    tags = get_tags(fitted)
    assert tags.input_tags.string and tags.input_tags.one_d_array and not tags.input_tags.two_d_array
    assert tags.classifier_tags.multi_label and tags.target_tags.required


def test_scorers_and_searches(many):
    settings, texts, names = many
    folds = StratifiedKFold(2)
    search = GridSearchCV(ramen.RamenClassifier(**settings), {"seed": [0, 1]}, cv=folds, scoring="neg_log_loss")
    search.fit(texts, names)
    assert -0.2 < search.best_score_ < 0
    assert search.predict(["a pear"]).tolist() == ["pear"]
    told = cross_val_predict(ramen.RamenClassifier(**settings), texts, indicator(names)[:, :4], cv=2)
    assert told.shape == (200, 4) and (told == indicator(names)[:, :4]).mean() > 0.95
    model = ramen.RamenClassifier(**settings)
    found = cross_val_score(model, texts, indicator(names)[:, :4], cv=2, scoring="f1_micro", error_score="raise")
    assert found.min() > 0.9


@pytest.mark.parametrize(
    "form",
    [
        np.array,
        lambda texts: np.array(texts)[:, None],
        lambda texts: np.array(texts, dtype=object),
        pd.Series,
        lambda texts: pd.Series(texts, index=range(7, 7 + len(texts))),
        lambda texts: pd.DataFrame({"text": texts}),
        lambda texts: pl.Series(texts),
        lambda texts: pl.DataFrame({"text": texts}),
        iter,
    ],
)
def test_forms_of_texts_and_labels(fitted, form):
    texts = ["red apple", "blue plum"]
    assert fitted.predict(form(texts)) == fitted.predict(texts)
    assert fitted.score(form(TEXTS), pd.Series(LABELS)) == fitted.score(TEXTS, LABELS)


def test_single_labels_in_columns(settings):
    table = pd.DataFrame({"text": TEXTS, "noun": [noun for noun in NOUNS for _ in SHADES]}).sample(24, random_state=0)
    for y in [table["noun"], table[["noun"]], table["noun"].astype("category"), pl.Series(table["noun"].tolist())]:
        model = ramen.RamenClassifier(**settings).fit(table["text"], y)
        assert model.predict(table["text"][:2]).tolist() == table["noun"][:2].tolist()


def test_a_missing_text_is_an_empty_one_in_fit(settings):
    texts = pd.Series([*TEXTS, None, np.nan], dtype=object)
    model = ramen.RamenClassifier(**settings).fit(texts, [*LABELS, ["pear"], ["plum"]])
    assert model.predict(["red pear"])[0][0] in {"pear", "fruit"}


def test_it_names_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "ramen.estimator")
    with pytest.raises(InputError, match=r"pip install 'ramen-xc\[train\]'"):
        ramen.RamenClassifier  # noqa: B018


def test_rows_of_an_indicator_matrix_without_labels_get_none(many):
    settings, texts, names = many
    table = indicator(names)[:, :2]  # apple and pear; texts of the others have no label
    model = ramen.RamenClassifier(**settings).fit(texts, table)
    without = table.sum(1) == 0
    assert without.sum() == 100
    assert model.predict(texts)[without].sum() == 0
    assert (model.predict(texts)[~without] == table[~without]).all(1).mean() > 0.9
    assert model.predict_proba(texts)[without].max() < 0.5
    assert model.predict(["a plum"]).tolist() == [[0, 0]] and model.classes_.tolist() == [0, 1]
