"""The door to the recipes: unknown names and options, folders that are not empty."""

from pathlib import Path

import pytest

from ramen.data.prepare import RECIPES, prepare, recipe_options
from ramen.errors import InputError


def test_unknown_recipe_gives_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'planted'"):
        prepare("plantet", tmp_path / "out")


def test_unknown_option_gives_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no option 'point': did you mean 'points'"):
        prepare("planted", tmp_path / "out", point=300)


@pytest.mark.parametrize("value", ["many", "3.5", 300.5, None])
def test_value_of_the_wrong_type(tmp_path: Path, value: object) -> None:
    with pytest.raises(InputError, match="option 'points': found .* expected int"):
        prepare("planted", tmp_path / "out", points=value)


def test_folder_that_is_not_empty_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    lines: list[str] = []
    with pytest.raises(InputError, match="already exists"):
        prepare("planted", tmp_path, report=lines.append)
    assert not lines
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="already exists"):
        prepare("planted", tmp_path / "out")


def test_options_may_be_text_and_steps_are_reported(tmp_path: Path) -> None:
    lines: list[str] = []
    assert prepare("planted", str(tmp_path / "out"), report=lines.append, points="60", labels="24") == tmp_path / "out"
    assert lines == ["invent 60 points and 24 labels", "write 48 training points and 12 test points"]


def test_every_recipe_tells_its_options() -> None:
    options = {name: recipe_options(name) for name in RECIPES}
    assert options == {
        "debian": {"packages": "", "translation": ""},
        "debian-files": {
            "packages": "",
            "translation": "",
            "contents": "",
            "points": 0,
            "labels": 1_000_000,
            "per_point": 200,
            "seed": 0,
        },
        "debian-tags": {"packages": "", "translation": ""},
        "planted": {"points": 2000, "labels": 800, "seed": 0},
        "wordnet": {"files": ""},
    }
