"""The house: no import cycle, files and functions of a size that one reads at a time.

That public names have docstrings, and who may import whom, is checked by `make lint`.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median, quantiles

import grimp
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("bonafide", "pipelines", "steps", "materializers"),
    *("serving", "research", "benchmarks"),
)
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
FILE_LINES, FUNCTION_LINES, NINE_OF_TEN_LINES = 300, 45, 20
LONGER: dict[str, str] = {}  # file or function -> why it may be longer


def _lines(node: ast.AST, first: int, last: int) -> int:
    """Count the lines from first to last outside of docstrings: those have the room they need."""
    documented = [inner for inner in ast.walk(node) if isinstance(inner, DOCUMENTED)]
    docs = [inner.body[0] for inner in documented if ast.get_docstring(inner) is not None]
    return last - first + 1 - sum(doc.end_lineno - doc.lineno + 1 for doc in docs)


@pytest.fixture(scope="module")
def sizes() -> tuple[dict[str, int], dict[str, int]]:
    """The lines of every file and of every function of ours."""
    files, functions = {}, {}
    for path in (path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")):
        name, text = path.relative_to(REPOSITORY).as_posix(), path.read_text()
        tree = ast.parse(text)
        files[name] = _lines(tree, 1, len(text.splitlines()))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = _lines(node, node.lineno, node.end_lineno or 0)
                functions[f"{name}: {node.name}"] = lines
    return files, functions


def test_no_import_cycle() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_files_and_functions_are_short(sizes: tuple[dict[str, int], dict[str, int]]) -> None:
    files, functions = sizes
    p90 = quantiles(functions.values(), n=10)[-1]
    long = {name: lines for name, lines in files.items() if lines > FILE_LINES}
    long |= {name: lines for name, lines in functions.items() if lines > FUNCTION_LINES}
    said = (
        f"lines without docstrings: files: median {median(files.values()):g}, largest "
        f"{max(files.values())}; functions: 9 of 10 within {p90:g}, largest "
        f"{max(functions.values())}; over {FILE_LINES} and {FUNCTION_LINES}: {long}"
    )
    assert p90 <= NINE_OF_TEN_LINES and long.keys() == LONGER.keys(), said
