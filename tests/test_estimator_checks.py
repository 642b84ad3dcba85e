"""scikit-learn's own checks of estimators, on a subclass of RamenClassifier that writes numbers as words.

The checks pass tables of numbers, so scikit-learn skips all but one for an estimator of texts: that it can be cloned.
The subclass reads each row of numbers as a text. It checks tables itself (``validate_data``), says that it is a
classifier and rounds scores, so what the checks say of those three is said of the subclass. They do say of
RamenClassifier that it takes the forms of ``y``, learns ``classes_``, keeps parameters, and gives the same each time.
"""

import numpy as np
import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

import ramen

EXPECTED_TO_FAIL = {
    "check_supervised_y_2d": "a column of labels is taken without a warning, as a frame of one column",
}


def _has_probabilities(model):
    return not hasattr(model, "tagger_") or model.tagger_.run.calibration is not None


class OfNumbers(ramen.RamenClassifier):
    """Reads the numbers of a row as words such as ``a3 b7``. The checks' sets are too small for probabilities."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.allow_nan = tags.input_tags.one_d_array = False
        tags.estimator_type = "classifier"
        return tags

    def fit(self, X, y):
        return super().fit(self._written(validate_data(self, X)), y)

    def predict(self, X):
        return super().predict(self._words(X))

    @available_if(_has_probabilities)
    def predict_proba(self, X):
        return super().predict_proba(self._words(X))

    def decision_function(self, X):
        scores = super().decision_function(self._words(X))
        return np.round(scores.astype(np.float64), 5)  # the last bits of float32 sums depend on the order of rows

    def score(self, X, y):
        return super().score(self._words(X), y)

    def _words(self, X):
        check_is_fitted(self)
        is_written = isinstance(X, list) and isinstance(X[0], str)
        return X if is_written else self._written(validate_data(self, X, reset=False))

    @staticmethod
    def _written(X):
        return [" ".join(f"{chr(97 + at % 26)}{round(float(value) * 2)}" for at, value in enumerate(row)) for row in X]


def _name(check):
    return "-".join([check.func.__name__, *map(str, check.keywords.values())])


CHECKS = {_name(check): check for _, check in estimator_checks_generator(OfNumbers())}
COSTLY = {name for name in CHECKS if "classifiers_train" in name or "dtype" in name or "-True" in name}


@pytest.fixture(scope="module")
def model(tiny_backbone):
    steps = ["training.epochs=1", "training.min_steps=2", "dense.epochs=1", "encoder.min_count=1"]
    quick = [f"encoder.backbone={tiny_backbone}", "graph.lambda=fixed", "sparse.choose=false", *steps]
    return OfNumbers(overrides=quick)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in COSTLY else name for name in CHECKS]
)
def test_scikit_learn_checks(name, model):
    if name not in EXPECTED_TO_FAIL:
        CHECKS[name](model)
        return
    with pytest.raises(AssertionError):
        CHECKS[name](model)


def test_the_checks_that_run_for_texts():
    """Of an estimator that takes no table, scikit-learn checks that it can be cloned."""
    with pytest.warns(SkipTestWarning, match="requires input  of type"):
        found = check_estimator(ramen.RamenClassifier())
    assert [check["status"] for check in found] == ["passed"]
