"""Cards: own before shipped before default, and every shipped one sound."""

from __future__ import annotations

import json
import shutil

import pytest

from ramen.data import Card, check, load_card
from ramen.data.cards import card_yaml, shipped_cards, shipped_facts
from ramen.errors import InputError


def test_without_a_card_the_default_says_so(tmp_path):
    assert load_card(tmp_path) == Card(tmp_path.name, A=0.55, B=1.5, source="default: no card for this set")


def test_a_shipped_card_goes_by_the_exact_name_of_the_folder(tmp_path):
    for name, found in [("LF-WordNet", True), ("lf-wordnet", False), ("LF-WordNet-2", False)]:
        (tmp_path / name).mkdir()
        assert load_card(tmp_path / name).title.startswith("Synsets") is found


def test_the_card_in_the_folder_wins(tmp_path):
    folder = tmp_path / "LF-WordNet"
    folder.mkdir()
    (folder / "card.yaml").write_text("title: mine\nA: 0.6\nB: 2.6\nsource: the paper\n")
    assert load_card(folder) == Card("LF-WordNet", A=0.6, B=2.6, source="the paper", title="mine")
    (folder / "card.yaml").write_text("A: 0.6\nB: 2.6\n")
    assert load_card(folder).source == str(folder / "card.yaml")
    (folder / "card.yaml").write_text("title: mine\n")
    assert load_card(folder).source.startswith("default: ")


def test_a_dot_is_named_after_the_folder_it_stands_for(tmp_path, monkeypatch):
    (tmp_path / "LF-WordNet").mkdir()
    monkeypatch.chdir(tmp_path / "LF-WordNet")
    assert load_card(".").name == "LF-WordNet"


@pytest.mark.parametrize("name", shipped_cards())
def test_every_shipped_card_is_sound(tmp_path, name):
    (tmp_path / name).mkdir()
    card = load_card(tmp_path / name)
    assert card.name == name and card.title and card.licence
    assert not card.source.startswith("default: ")


def test_list_shows_every_card(tmp_path, ramen_here):
    done = ramen_here("data", "list", "--json", "f.json")
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert [row.split()[0] for row in rows] == shipped_cards() == list(json.loads((tmp_path / "f.json").read_text()))
    (row,) = (row for row in rows if row.startswith("LF-AmazonTitles-1.3M"))
    assert row.split()[1:6] == ["2,248,619", "970,237", "1,305,265", "0.6", "2.6"]


def test_a_set_of_other_sizes_than_its_card_is_told(real_data, tmp_path):
    warnings = check(real_data("Delicious")).warnings
    assert not [line for line in warnings if "card" in line or "name the point itself" in line]
    shutil.copytree(real_data("Delicious"), tmp_path / "Bibtex")
    assert any("card of Bibtex: labels is 159, found 983" in line for line in check(tmp_path / "Bibtex").warnings)


def test_the_cards_of_the_real_sets_are_shipped():
    assert {"LF-DebianMini", "LF-DebianRelated", "LF-ManSeeAlso", "LF-WordNet"} <= set(shipped_cards())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("licens: x\n", r"card\.yaml: unknown key 'licens': did you mean 'licence'\?"),
        ("A: 0.5\n", r"card\.yaml: A and B belong together"),
        ("A: high\nB: 1\n", r"card\.yaml: A is 'high', expected a number"),
        ("A: .nan\nB: 1\n", r"card\.yaml: A is nan, expected a number"),
        ("A: 1\nB: true\n", r"card\.yaml: B is True, expected a number"),
        ("title: [x]\n", r"card\.yaml: title is \['x'\], expected text"),
        ("train: -1\n", r"card\.yaml: train is -1, expected a count"),
        ("graphs: x\n", r"card\.yaml: graphs is 'x', expected a list of names"),
        ("- x\n", r"card\.yaml: found list, expected keys and values"),
        ("", r"card\.yaml: found NoneType, expected keys and values"),
        ("title: x\nA: [\n", r"card\.yaml, line 3: broken yaml"),
        ("!!python/object/apply:os.getcwd []\n", r"card\.yaml, line 1: broken yaml"),
    ],
)
def test_a_broken_card_is_named(tmp_path, text, message):
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_card(tmp_path)


def test_a_written_card_reads_back(tmp_path):
    card = Card("näme: x", A=0.5, B=0.4, source="table 2, 'as is'", title="yes", licence="1.0")
    (tmp_path / "card.yaml").write_text(card_yaml(card))
    assert load_card(tmp_path) == card


@pytest.mark.parametrize(
    "entry",
    [
        "{method: x, P@1: 50}",
        "{method: x, source: y}",
        "{method: x, source: y, P@1: 101}",
        "{method: x, source: y, P@1: high}",
        "{method: x, source: y, P@1: 50, P@3: 40}",
        "x",
    ],
)
def test_published_figures_need_a_method_a_source_and_a_percentage(small_set, entry):
    (small_set / "card.yaml").write_text(f"published:\n- {entry}\n")
    with pytest.raises(InputError, match="published is not a list of entries with method, source, and P@1, PSP@1"):
        load_card(small_set)
    (small_set / "card.yaml").write_text("published:\n- {method: x, source: y, PSP@1: 50}\nfiles: [a, b]\n")
    load_card(small_set)


def test_every_published_figure_of_the_repository_s_sets_has_a_source():
    facts = shipped_facts()
    sets = [name for name in facts if "files" in facts[name]]
    assert len(sets) == 15 and all(facts[name]["disagree"] and facts[name]["published"] for name in sets)
