"""Data moves downwards: a room imports from those above it in LAYERS, never back up, not even inside a function."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = """
    _version errors sequences text scripts extras files memory settings mapped stored timing threads compiled renamed
    config prefetch transfer losses distributed progress checkpoint data mining metrics encoders graph scorers ranking
    inference pages tracking training targets estimator serve cli __main__ hlm_bridge
""".split()
# The vessel segmenter is a program of its own and shares these alone.
OF_WNET = {"_version", "settings", "errors", "extras", "files", "cli"}
CODE = [path for top in ("ramen", "hlm_bridge", "attention_wnet") for path in sorted((ROOT / top).rglob("*.py"))]
RECIPES = sorted((ROOT / "datasets/recipes").glob("*.py"))


def room(name):
    top, _, rest = name.partition(".")
    return top if top != "ramen" else rest.partition(".")[0]


def imported(path):
    """Rooms that a file imports anywhere but for types; "" for a name that ``ramen`` itself gives on first use."""
    nodes, found = [ast.parse(path.read_text(encoding="utf-8"))], set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            of_ramen = node.module == "ramen"
            found |= {f"ramen.{alias.name}" for alias in node.names} if of_ramen else {node.module}
        nodes += ast.iter_child_nodes(node)
    return {room(name) for name in found if name.split(".")[0] in ("ramen", "hlm_bridge", "attention_wnet")}


@pytest.mark.parametrize("path", [*CODE, *RECIPES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_from_above(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    here = "data" if parts[0] == "datasets" else room(".".join(parts))
    names = {name for name in imported(path) if name in LAYERS or name in ("hlm_bridge", "attention_wnet")}
    if here == "attention_wnet":
        assert names <= OF_WNET | {here}
    elif here not in ("__init__", ""):
        assert names <= set(LAYERS[: LAYERS.index(here) + 1])


def test_every_room_has_its_place():
    inside = [path.relative_to(ROOT / "ramen") for path in CODE if path.is_relative_to(ROOT / "ramen")]
    rooms = {path.parts[0].removesuffix(".py") for path in inside}
    assert rooms - {"__init__"} == set(LAYERS) - {"hlm_bridge"}
