"""Cross-validate RAMEN in a scikit-learn pipeline on a data set folder, e.g. ``ramen data prepare planted``."""

from __future__ import annotations

import argparse
import html

from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import ramen


def unescape(texts: list[str]) -> list[str]:
    """Plain characters in place of HTML's entities."""
    return [html.unescape(text) for text in texts]


def main() -> None:
    """Print P@1 of each fold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="data set folder with texts")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the training")
    options = parser.parse_args()

    dataset = ramen.load_dataset(options.data)
    label_lists = [[dataset.labels.titles[label] for label in row.indices] for row in dataset.train_targets]
    model = make_pipeline(FunctionTransformer(unescape), ramen.RamenClassifier(overrides=options.set))
    found = cross_validate(model, dataset.train.titles, label_lists, cv=options.folds, error_score="raise")
    print("P@1 of each fold:", *(f"{value:.3f}" for value in found["test_score"]))


if __name__ == "__main__":
    main()
