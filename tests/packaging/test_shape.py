"""Functions stay short and take few arguments, so that each can be read at once; no module's doctests are skipped."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = [path for top in ("ramen", "hlm_bridge", "attention_wnet") for path in sorted((ROOT / top).rglob("*.py"))]
LINES, ARGUMENTS = 80, 9
# Compiled kernels take arrays one by one, as numba compiles neither dataclasses nor keyword arguments well.
KERNELS = {
    "_fit_block", "_move", "_scores",
}  # fmt: skip
# What a user calls with keywords: the command line's options, and settings of a public class or function.
PUBLIC = set()


def functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_command(node):
    """Whether Typer makes a command of it, whose arguments are options."""
    return any(
        isinstance(one, ast.Call) and ast.unparse(one.func).endswith((".command", ".callback"))
        for one in node.decorator_list
    )


def n_arguments(node):
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([argument for argument in every if argument.arg not in ("self", "cls")])


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_functions_are_short_and_take_few_arguments(path):
    for node in functions(path):
        length = node.end_lineno - node.lineno + 1
        assert length <= LINES, f"{node.name}: {length} lines, expected at most {LINES}"
        if node.name not in KERNELS | PUBLIC and not is_command(node):
            count = n_arguments(node)
            assert count <= ARGUMENTS, f"{node.name}: {count} arguments, expected at most {ARGUMENTS}"


def test_the_exceptions_are_needed():
    long = {node.name for path in CODE for node in functions(path) if n_arguments(node) > ARGUMENTS}
    assert KERNELS | PUBLIC <= long
