"""Functions stay short and take few arguments, so that each can be read at once; no module's doctests are skipped."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = [path for top in ("ramen", "hlm_bridge", "attention_wnet") for path in sorted((ROOT / top).rglob("*.py"))]
LINES, ARGUMENTS = 80, 9
# Compiled kernels, which take arrays one by one: numba compiles neither dataclasses nor keywords well; and a call of
# the user's with a keyword for each kind of column.
KERNELS = {
    "ramen/data/frames.py": {"from_frame"},
    "ramen/data/parse_rows.py": {"_parse"},
    "ramen/encoders/token_sums.py": {"_add_gradients"},
    "ramen/mining/inverted.py": {"_top"},
    "ramen/mining/signs.py": {"_search"},
    "ramen/ranking/grams.py": {"_overlap"},
    "ramen/ranking/overlap.py": {"_overlap"},
    "ramen/ranking/shapley.py": {"_add_values"},
    "ramen/ranking/trees.py": {"_add_leaves"},
    "ramen/scorers/dense/shortlist.py": {"_scores", "_move"},
    "ramen/scorers/sparse/classifier.py": {"_fit_block"},
}


def functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_command(node):
    """Whether Typer makes a command of it, whose arguments are options."""
    return any("typer.Option" in ast.unparse(one.annotation) for one in node.args.args if one.annotation)


def n_arguments(node):
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([argument for argument in every if argument.arg not in ("self", "cls")])


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_functions_are_short_and_take_few_arguments(path):
    kernels = KERNELS.get(path.relative_to(ROOT).as_posix(), set())
    many = set()
    for node in functions(path):
        length, count = node.end_lineno - node.lineno + 1, n_arguments(node)
        assert length <= LINES, f"{node.name}: {length} lines, expected at most {LINES}"
        if count > ARGUMENTS and not is_command(node):
            assert node.name in kernels, f"{node.name}: {count} arguments, expected at most {ARGUMENTS}"
            many.add(node.name)
    assert kernels == many, f"no longer exceptions: {kernels - many}"


def test_the_doctests_of_every_module_run():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert "--doctest-modules" in settings["addopts"]
    assert {"ramen", "hlm_bridge", "attention_wnet"} <= set(settings["testpaths"])
