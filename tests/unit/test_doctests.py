"""Every example in a docstring runs and prints what it says."""

import ast
import doctest
import importlib
import pkgutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

import bonafide

# Importing these takes seconds and hundreds of megabytes in each process of a test run: modules
# that import them, or import what imports them, have no examples.
HEAVY = {"keras", "tensorflow"}


@cache
def source(module: str) -> str:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


MODULES = ["bonafide", *(m.name for m in pkgutil.walk_packages(bonafide.__path__, "bonafide."))]
WITH_EXAMPLES = [name for name in MODULES if ">>> " in source(name)]


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules that importing this one imports, its own among them, without doing so."""
    names = {module.rpartition(".")[0]}
    for node in ast.parse(source(module)).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def reached(module: str) -> set[str]:
    found, todo = {module}, [module]
    while todo:
        new = imports(todo.pop()) - found
        found |= new
        todo += [name for name in new if name in MODULES]
    return found


def is_heavy(module: str) -> bool:
    return any(name.partition(".")[0] in HEAVY for name in reached(module))


def test_some_modules_have_examples_and_some_are_heavy() -> None:
    assert {"bonafide.audio.stream", "bonafide.corpora.registry"} < set(WITH_EXAMPLES)
    assert "bonafide.models.networks" in filter(is_heavy, MODULES)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples(module: str) -> None:
    assert not is_heavy(module), "its examples would import TensorFlow: show the call elsewhere"
    done = doctest.testmod(importlib.import_module(module))
    assert done.attempted and not done.failed
