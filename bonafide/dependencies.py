"""Find the files that a function's result depends on, in the source: nothing is imported.

The search follows the names that a function uses to their definitions, then the names that these
use, and so on; a file counts once a definition in it is reached. Imports inside functions count
like any other, and so do strings like ``module:function``, which name what an isolated call runs.
Imports for type checkers alone do not count, and what is looked up by name at run time (a plug-in)
must be named by the caller.
"""

import ast
import importlib.util
import re
import symtable
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OURS = frozenset({"bonafide"})
TARGET = re.compile(r"([a-zA-Z_]\w*(?:\.\w+)+):(\w+)")
EVERYTHING = "*"
SHOWN = "pages"  # the method that draws an artifact for people: no part of what it holds
TEMPLATES = "templates"  # the folder of a package that jinja2 loads from
Use = tuple[str, str]  # a module and a name in it


def files_behind(function: Callable[..., Any], also: Sequence[str] = ()) -> list[Path]:
    """Return the files that a function's result depends on, beside its own source.

    Parameters
    ----------
    function : callable
        Defined at the top level of a module.
    also : sequence of str
        Modules that it looks up by name at run time; each counts whole.

    Returns
    -------
    list of Path
        Sorted.

    Raises
    ------
    LookupError
        If a name that is used cannot be found where it is imported from.
    """
    start = (function.__module__, function.__name__)
    packages = OURS | {name.partition(".")[0] for name in also}
    waiting, reached = [start, *((name, EVERYTHING) for name in also)], set[Use]()
    files: set[Path] = set()
    while waiting:
        module, name = use = waiting.pop()
        if name == TEMPLATES and (package := path_of(module)):
            files.update((package.parent / TEMPLATES).iterdir())
            continue
        ours = module.partition(".")[0] in packages or module == function.__module__
        if ours and use not in reached:
            reached.add(use)
            waiting += source(module).uses(name)
            if use != start and name in source(module):
                files.add(source(module).path)
    return sorted(files)


@cache
def path_of(module: str) -> Path | None:
    """Return the file of a module's source; None if there is no such module."""
    stem = ROOT.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    if ROOT.joinpath(module.partition(".")[0]).is_dir():
        return None
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(found.origin) if found and found.origin else None


@cache
def source(module: str) -> "Source":
    """Read a module's source, once in the life of this process.

    Parameters
    ----------
    module : str
        Its full name.

    Returns
    -------
    Source
        The file, parsed.

    Raises
    ------
    LookupError
        If there is no such module.
    """
    if (path := path_of(module)) is None:
        raise LookupError(f"module {module} has no source that can be found")
    return Source(module, path)


class Source:
    """The top-level definitions and imports of a file, and what each of its names uses.

    Parameters
    ----------
    module : str
        Full name of the module.
    path : Path
        Its file.
    """

    def __init__(self, module: str, path: Path) -> None:
        self.module, self.path = module, path
        self._imports: dict[str, set[Use]] = {}
        self._definitions: dict[str, list[ast.stmt]] = {}
        self._at_import: list[ast.stmt] = []  # runs whatever is used of the file
        self._uses: dict[str, set[Use]] = {}
        for statement in _top(ast.parse(path.read_text(encoding="utf-8")).body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._bind(self._imports, statement)
                continue
            for name in _names_made(statement):
                self._definitions.setdefault(name, []).append(statement)
            if not _makes_names_alone(statement):
                self._at_import.append(statement)

    def __contains__(self, name: str) -> bool:
        anything = name == EVERYTHING or EVERYTHING in self._imports  # `from x import *`
        return anything or name in self._definitions or name in self._imports

    def uses(self, name: str) -> set[Use]:
        """Return what one of its names uses directly.

        Parameters
        ----------
        name : str
            A definition or an import of the file, or a module below it; `EVERYTHING` for all.

        Returns
        -------
        set of tuple of str
            Modules and names in them.

        Raises
        ------
        LookupError
            If the file has no such name.
        """
        if name not in self._uses:
            self._uses[name] = self._find_uses(name)
        return self._uses[name]

    def _find_uses(self, name: str) -> set[Use]:
        if name not in {*self._definitions, *self._imports, EVERYTHING}:
            if path_of(inner := f"{self.module}.{name}"):
                return {(inner, EVERYTHING)}
            if name not in self:
                where = f"{self.path} has no {name!r}"
                raise LookupError(f"{where} that can be found without importing it")
        names = {*self._definitions, *self._imports} if name == EVERYTHING else {name, EVERYTHING}
        nodes = [node for known in names for node in self._definitions.get(known, ())]
        used = {use for node in (*nodes, *self._at_import) for use in self._used_in(node)}
        return used.union(*(self._imports.get(known, ()) for known in names))

    def _bind(self, names: dict[str, set[Use]], statement: ast.Import | ast.ImportFrom) -> None:
        """Add what an import statement binds."""
        if isinstance(statement, ast.Import):
            for module in statement.names:
                bound = module.asname or module.name.partition(".")[0]
                names.setdefault(bound, set()).add((module.name, EVERYTHING))
            return
        origin = statement.module or ""
        if statement.level:
            package = self.module if self.path.stem == "__init__" else _parent(self.module)
            for _ in range(statement.level - 1):
                package = _parent(package)
            origin = f"{package}.{origin}".rstrip(".")
        for name in statement.names:
            names.setdefault(name.asname or name.name, set()).add((origin, name.name))

    def _used_in(self, node: ast.stmt) -> Iterator[Use]:
        for inner in _inside(node):
            if isinstance(inner, ast.Import | ast.ImportFrom):  # taken to be used
                inside: dict[str, set[Use]] = {}
                self._bind(inside, inner)
                for uses in inside.values():
                    yield from uses
            elif isinstance(inner, ast.Call) and ast.unparse(inner.func) == "PackageLoader":
                yield ast.literal_eval(inner.args[0]), TEMPLATES
            elif isinstance(inner, ast.Constant) and (target := TARGET.fullmatch(str(inner.value))):
                yield target[1], target[2]
        for name in self._outer_names(node):
            yield from self._imports.get(name, ())
            if name in self._definitions:
                yield self.module, name

    def _outer_names(self, node: ast.stmt) -> set[str]:
        """Return the names in a statement that are not its own: no parameters, no variables."""
        top = symtable.symtable(ast.unparse(node), str(self.path), "exec")
        names = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
        tables = top.get_children()
        while tables:
            table = tables.pop()
            tables += [inner for inner in table.get_children() if inner.get_name() != SHOWN]
            names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        return names


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all nodes in it, as `ast.walk` does, except what is only shown."""
    waiting = [node]
    while waiting:
        yield (inner := waiting.pop())
        children = ast.iter_child_nodes(inner)
        waiting += [child for child in children if getattr(child, "name", "") != SHOWN]


def _parent(module: str) -> str:
    return module.rpartition(".")[0]


def _top(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run on import, including those inside `if` and `try`."""
    # What is tested or caught runs too, and is a statement of its own.
    for statement in statements:
        if isinstance(statement, ast.If):
            checking = "TYPE_CHECKING" in ast.unparse(statement.test)
            body = [] if checking else [ast.Expr(statement.test), *statement.body]
            yield from _top([*body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            caught = [ast.Expr(handler.type) for handler in statement.handlers if handler.type]
            handled = [*caught, *(inner for each in statement.handlers for inner in each.body)]
            yield from _top([*statement.body, *handled, *statement.orelse, *statement.finalbody])
        else:
            yield statement


def _makes_names_alone(statement: ast.stmt) -> bool:
    """Return whether it does nothing but define: what does more counts whatever is used."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return True
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return False
    changed = (
        node for node in ast.walk(statement) if isinstance(getattr(node, "ctx", None), ast.Store)
    )
    return all(isinstance(node, ast.Name | ast.Tuple | ast.List | ast.Starred) for node in changed)


def _names_made(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    nodes = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
