"""Data sets: read, check and write them."""

from ramen.data.cards import load_card
from ramen.data.check import check
from ramen.data.dataset import Card, Dataset, Graph, Texts
from ramen.data.frames import from_frame
from ramen.data.layouts import load_dataset
from ramen.data.lists import from_lists
from ramen.data.read_words import bags_of_words
from ramen.data.write import write_dataset

__all__ = [
    "Card",
    "Dataset",
    "Graph",
    "Texts",
    "check",
    "from_frame",
    "from_lists",
    "bags_of_words",
    "load_card",
    "load_dataset",
    "write_dataset",
]
