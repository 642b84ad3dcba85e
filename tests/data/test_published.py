"""What a shipped card says of a data set, found by name or sizes."""

from __future__ import annotations

import dataclasses

import pytest

from ramen.data import Card, load_dataset
from ramen.data import published as module
from ramen.data.check import check
from ramen.data.published import constants_warning, published_facts

SIZES = {"train": 3, "test": 1, "labels": 4}
TITLES = {"name": "Fruit-Titles", **SIZES, "A": 0.6, "B": 2.6, "source": "the paper", "published": ["by titles"]}
WHOLE = {**TITLES, "name": "Fruit", "published": ["by whole texts"]}


@pytest.fixture
def cards(monkeypatch):
    def are(*facts):
        monkeypatch.setattr(module, "shipped_facts", lambda: {one["name"]: one for one in facts})

    return are


def test_sizes_lead_to_the_card_whatever_the_folder_is_called(small_set, cards):
    data = load_dataset(small_set)
    cards(TITLES, {**WHOLE, "labels": 5})
    assert published_facts(data) == TITLES
    cards({**TITLES, "test": 2})
    assert published_facts(data) == {} and constants_warning(data.card, published_facts(data)) == ""


def test_of_two_sets_of_one_size_the_name_decides_and_none_s_figures_are_guessed(small_set, cards):
    cards(TITLES, WHOLE)
    data = load_dataset(small_set)
    assert published_facts(data)["A"] == 0.6 and "published" not in published_facts(data)
    for path in (small_set.parent / "Fruit", small_set.parent / "Fruit-Titles"):
        (facts,) = [facts for facts in (TITLES, WHOLE) if facts["name"] == path.name]
        assert published_facts(dataclasses.replace(data, path=path)) == facts


def test_other_constants_than_the_card_s_are_told(small_set, cards):
    cards(TITLES)
    data = load_dataset(small_set)
    told = constants_warning(data.card, published_facts(data))
    assert told.startswith("A 0.55, B 1.5 (default") and "card of Fruit-Titles" in told and "A 0.6, B 2.6" in told
    assert any(told == warning for warning in check(small_set).warnings)
    assert not constants_warning(Card("mine", A=0.6, B=2.6), published_facts(data))
