"""Which code a cached step stands for: a changed file must not be answered from the cache."""

import dis
import functools
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any
from uuid import UUID

import grimp
import pytest
from zenml.orchestrators.cache_utils import generate_cache_key

from bonafide import dependencies
from bonafide.dependencies import files_behind, path_of
from bonafide.models import BUILT_IN
from pipelines.training import _watching
from steps.data import extract, ingest, scale, split
from steps.models import calibrate, export, stack, train
from steps.policy import policy_for
from steps.results import audit, evaluate

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = (ingest, split, extract, scale, train, stack, calibrate, export, audit, evaluate)
TEMPLATES = REPOSITORY / "bonafide" / "evaluation" / "templates"
each_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)


def files_of(step: object) -> set[str]:
    policy = step.configuration.cache_policy  # type: ignore[attr-defined]
    assert policy.include_artifact_values and not policy.include_artifact_ids
    return set(policy.file_dependencies)


@each_step
def test_every_file_is_there(step: object) -> None:
    files = files_of(step)
    assert files
    assert [name for name in files if not (REPOSITORY / name).is_file()] == []


def test_the_extraction_counts_what_writes_the_front_end() -> None:
    names = (
        "audio/stream",
        "errors",
        "features/frontend",
        "features/graph",
        "features/spec",
        "features/statistics",
        "training/extraction",
    )
    assert {f"bonafide/{name}.py" for name in names} < files_of(extract)


@pytest.mark.parametrize(
    ("step", "names"),
    [
        (scale, {"training/scaling"}),
        (
            train,
            {
                "models/base",
                "models/examples",
                "training/fitting",
                "training/scaling",
                "training/folds",
            },
        ),
        (stack, {"training/stacking"}),
        (audit, {"training/audit"}),
    ],
    ids=["scale", "train", "stack", "audit"],
)
def test_what_runs_in_another_process_counts_too(step: object, names: set[str]) -> None:
    assert {f"bonafide/{name}.py" for name in names} < files_of(step)


def test_the_export_counts_what_writes_the_graphs_and_what_says_how() -> None:
    written = {"models", "meta", "scaler", "parity", "candidate", "fused", "chain"}
    assert {f"bonafide/export/{name}.py" for name in written} < files_of(export)
    assert {"bonafide/training/config.py", "bonafide/training/windows.py"} < files_of(export)


def test_what_reads_a_corpus_does_not_train_again() -> None:
    """The features are the same, hash for hash, or else the step runs for that."""
    for name in (
        "bonafide/corpora/manifest.py",
        "bonafide/audio/__init__.py",
        "bonafide/evaluation/report.py",
    ):
        assert name not in files_of(train)


def test_a_base_model_s_steps_count_its_own_family_alone() -> None:
    policies = {name: _watching(train, name).configuration.cache_policy for name in BUILT_IN}
    files = {name: set(policy.file_dependencies) for name, policy in policies.items()}
    for name in BUILT_IN:
        own = {f"bonafide/models/{other}.py" for other in BUILT_IN} & files[name]
        assert own == {f"bonafide/models/{name}.py"}
    for name in ("networks", "networks_onnx"):  # what the networks share
        concerned = {model for model in BUILT_IN if f"bonafide/models/{name}.py" in files[model]}
        assert concerned == set(BUILT_IN) - {"xgboost"}
    every = set(_watching(export, *BUILT_IN).configuration.cache_policy.file_dependencies)
    assert every > {f"bonafide/models/{name}.py" for name in BUILT_IN}


# --- held against two other ways of finding out: live objects, and the graph of imports -----------


def modules_of(files: set[str]) -> set[str]:
    return {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}


def instructions(code: CodeType) -> Iterator[dis.Instruction]:
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from instructions(constant)


def led_to(thing: Any) -> Iterator[Any]:
    """Find what a live object leads to: a function's globals and annotations, a class's members."""
    yield from typing.get_args(thing)
    if isinstance(thing, property):
        yield thing.fget
    elif isinstance(thing, functools.cached_property | functools.partial):
        yield thing.func
    elif isinstance(thing, classmethod | staticmethod) or hasattr(thing, "__wrapped__"):
        yield thing.__wrapped__
    if isinstance(thing, type):
        shown = (value for name, value in vars(thing).items() if name != "pages")
        yield from (*thing.__bases__, *shown)
    if isinstance(thing, FunctionType):
        for step in instructions(thing.__code__):
            if step.opname == "LOAD_GLOBAL":
                yield thing.__globals__.get(step.argval)
    if isinstance(thing, type | FunctionType):
        yield from inspect.get_annotations(thing).values()


def modules_in_memory(function: FunctionType) -> set[str]:
    """Walk through live functions and classes, as far as they are loaded."""
    modules, seen, waiting = set(), set(), [function]
    while waiting:
        thing = waiting.pop()
        module = str(getattr(thing, "__module__", ""))
        followed = module.startswith(("bonafide.", "steps.")) or not isinstance(
            thing, type | FunctionType
        )
        if id(thing) not in seen and followed:
            seen.add(id(thing))
            waiting += led_to(thing)
            if module.startswith("bonafide.") and isinstance(thing, type | FunctionType):
                modules.add(module)
    return modules


@functools.cache
def import_graph() -> grimp.ImportGraph:
    graph = grimp.build_graph(
        "bonafide", "steps", exclude_type_checking_imports=True, cache_dir=None
    )
    for path in (REPOSITORY / "bonafide").rglob("*.py"):
        (importer,) = modules_of({str(path.relative_to(REPOSITORY))})
        for target in re.findall(r'"(bonafide[\w.]+):\w+"', path.read_text()):
            graph.add_import(importer=importer, imported=target)
    return graph


def modules_by_imports(function: FunctionType) -> set[str]:
    """Follow whole modules, as import-linter sees them, from those that the step's text names."""
    graph, module = import_graph(), function.__module__
    names = re.findall(r"\w+", inspect.getsource(function))
    used = set()
    for imported in graph.find_modules_directly_imported_by(module):
        details = graph.get_import_details(importer=module, imported=imported)
        lines = " ".join(line["line_contents"] for line in details)
        if imported.startswith("bonafide.") and {*re.findall(r"\w+", lines)} & {*names}:
            used.add(imported)
    return used.union(*(graph.find_upstream_modules(name) for name in used))


def key_of(step: Any) -> str:
    """Compute the key that ZenML finds a cached result by."""
    settings: Any = SimpleNamespace(
        cache_policy=step.configuration.cache_policy,
        parameters={},
        outputs={},
        caching_parameters={},
        environment={},
        secrets=[],
    )
    source = SimpleNamespace(import_path=step.name)
    store: Any = SimpleNamespace(id=UUID(int=1), path="", custom_cache_key=None)
    whole: Any = SimpleNamespace(config=settings, spec=SimpleNamespace(source=source))
    return generate_cache_key(whole, {}, store, UUID(int=2))


def test_a_changed_module_concerns_the_steps_that_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_code = shutil.ignore_patterns("*.onnx", "__pycache__")
    shutil.copytree(REPOSITORY / "bonafide", tmp_path / "bonafide", ignore=only_code)
    monkeypatch.setattr("zenml.utils.source_utils._CUSTOM_SOURCE_ROOT", str(tmp_path))
    before = {step.name: key_of(step) for step in STEPS}
    least = {step.name: modules_in_memory(inspect.unwrap(step.entrypoint)) for step in STEPS}
    most = {step.name: modules_by_imports(inspect.unwrap(step.entrypoint)) for step in STEPS}
    concerned = 0
    for path in (tmp_path / "bonafide").rglob("*.py"):
        (module,) = modules_of({str(path.relative_to(tmp_path))})
        text = path.read_text()
        path.write_text(text + "\nCHANGED = 1\n")
        changed = {step.name for step in STEPS if key_of(step) != before[step.name]}
        path.write_text(text)
        concerned += len(changed)
        assert {name for name, used in least.items() if module in used} <= changed, module
        assert changed <= {name for name, used in most.items() if module in used}, module
    assert {step.name: key_of(step) for step in STEPS} == before
    files = [name for step in STEPS for name in files_of(step)]
    assert concerned == sum(name.endswith(".py") for name in files)


def test_a_step_that_renders_counts_the_templates() -> None:
    templates = {f"bonafide/evaluation/templates/{path.name}" for path in TEMPLATES.iterdir()}
    assert "bonafide/evaluation/templates/report.html.j2" in templates
    concerned = {step.name for step in STEPS if templates & files_of(step)}
    assert concerned == {"evaluate"}
    assert templates < files_of(evaluate)


# --- every way to use a name ----------------------------------------------------------------------

TREE = {
    "bonafide/__init__": "def __getattr__(name): raise AttributeError",
    "bonafide/a": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from bonafide.typed import T\n"
        "from bonafide import whole\n"
        "from bonafide.constants import LIMIT, OTHER\n"
        "from bonafide.face import shown\n"
        "from bonafide.unused import nothing\n"
        "try:\n    from bonafide.fast import quick\nexcept ImportError:\n    quick = None\n"
        "TABLE = {'x': LIMIT}\n"
        "def by_constant(): return TABLE\n"
        "def by_module(): return whole.f()\n"
        "def by_face(): return shown()\n"
        "def by_try(): return quick()\n"
        "def by_import():\n    from bonafide.inner import g\n    return g()\n"
        "def by_target(): return run('bonafide.isolated:fit')\n"
        "def by_annotation(x: 'T', y: OTHER = None): return x\n"
        "def by_default(x=OTHER): return x\n"
        "def by_parameter(nothing): return nothing\n"
        "def by_variable():\n    nothing = 1\n    return [nothing for _ in ()]\n"
        "def by_nested():\n    def inner(): return LIMIT\n    return inner\n"
        "@shown\ndef by_decorator(): pass\n"
        "class Base:\n    size = LIMIT\n"
        "class Child(Base):\n    def f(self): return quick\n"
        "def by_class(): return Child\n"
        "from bonafide.stars import everything\n"
        "def by_star_of_star(): return everything()\n"
        "from bonafide import face as whole_face\n"
        "def by_face_of_module(): return whole_face.shown\n"
        "from bonafide.changed import CHANGED\n"
        "def by_change(): return CHANGED\n"
        "def by_text(): return 'bonafide.isolated: not a target'\n"
    ),
    "bonafide/stars": "from bonafide.star import *\n",
    "bonafide/star": "def everything(): pass\n",
    "bonafide/changed": (
        "from bonafide import constants, deep, fast, inner, isolated, unused\n"
        "CHANGED = {}\n"
        "class Kind: pass\n"
        "CHANGED['limit'] = constants.LIMIT\n"
        "Kind.way = deep.h\n"
        "if fast.quick: pass\n"
        "try: pass\n"
        "except inner.g: pass\n"
        "del unused.nothing\n"
    ),
    "bonafide/whole": "from bonafide.deep import h\ndef f(): return h()\n",
    "bonafide/deep": "def h(): pass\n",
    "bonafide/constants": "LIMIT, OTHER = 1, 2\n",
    "bonafide/face": "from bonafide.hidden import shown\n",
    "bonafide/hidden": (
        "from bonafide.registry import register\ndef shown(f=None): pass\nregister(shown)\n"
    ),
    "bonafide/registry": "def register(f): pass\n",
    "bonafide/inner": "def g(): pass\n",
    "bonafide/isolated": "from bonafide.deep import h\ndef fit(): return h()\ndef other(): pass\n",
    "bonafide/typed": "T = int\n",
    "bonafide/unused": "nothing = None\n",
    "bonafide/fast": "def quick(): pass\n",
}
LOOKED_UP = {
    "plugged/__init__": "",
    "plugged/tenth": (
        "from bonafide.inner import g\nfrom .near import n\ndef fit(): return g(), n()\n"
    ),
    "plugged/near": "def n(): pass\n",
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for folder, files in (("ours", TREE), ("theirs", LOOKED_UP)):
        for name, text in files.items():
            path = tmp_path / folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    monkeypatch.setattr(dependencies, "ROOT", tmp_path / "ours")
    monkeypatch.syspath_prepend(tmp_path / "theirs")
    for cached in (dependencies.path_of, dependencies.source):
        cached.cache_clear()
    yield tmp_path
    for cached in (dependencies.path_of, dependencies.source):
        cached.cache_clear()


def function_of(name: str) -> Any:
    def function() -> None:
        pass

    function.__module__, function.__name__ = "bonafide.a", name
    return function


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("by_constant", "a constants"),
        ("by_module", "whole deep"),
        ("by_face", "face hidden registry"),
        ("by_try", "a fast"),
        ("by_import", "inner"),
        ("by_target", "isolated deep"),
        ("by_annotation", "constants"),
        ("by_default", "constants"),
        ("by_parameter", ""),
        ("by_variable", ""),
        ("by_nested", "constants"),
        ("by_decorator", "face hidden registry"),
        ("by_class", "a constants fast"),
        ("by_text", ""),
        ("by_star_of_star", "stars star"),
        ("by_face_of_module", "face hidden registry"),
        ("by_change", "changed constants deep fast inner unused"),
    ],
)
def test_the_files_behind_a_name(name: str, files: str, tree: Path) -> None:
    assert {path.stem for path in files_behind(function_of(name))} == set(files.split())


def test_a_module_that_is_looked_up_by_name_counts_whole(tree: Path) -> None:
    policy = policy_for(function_of("by_text"), also=("bonafide.isolated",))
    assert policy.file_dependencies is not None
    assert {Path(name).stem for name in policy.file_dependencies} == {"isolated", "deep"}


def test_one_of_another_package_counts_with_what_it_uses(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = files_behind(function_of("by_text"), also=("plugged.tenth",))
    theirs, ours = tree / "theirs" / "plugged", tree / "ours" / "bonafide"
    assert found == sorted([ours / "inner.py", theirs / "near.py", theirs / "tenth.py"])
    monkeypatch.setattr("steps.policy.ROOT", tree / "ours")
    policy = policy_for(function_of("by_text"), also=("plugged.tenth",))
    names = ["bonafide/inner.py", str(theirs / "near.py"), str(theirs / "tenth.py")]
    assert policy.file_dependencies == names


def test_a_name_from_a_star_counts_the_whole_module(tree: Path) -> None:
    text = "from bonafide.star import *\ndef f(): return everything()\n"
    (tree / "ours" / "bonafide" / "a.py").write_text(text)
    assert {path.stem for path in files_behind(function_of("f"))} == {"star"}


def test_a_view_kind_of_another_package_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_kind.py").write_text("KIND = 1\n")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bonafide.views]\ntheirs = their_kind:KIND\n")
    monkeypatch.syspath_prepend(tmp_path)
    for step in (extract, export):
        policy = _watching(step, kinds=("mfcc", "theirs")).configuration.cache_policy
        assert str(tmp_path / "their_kind.py") in policy.file_dependencies
        assert set(policy.file_dependencies) > files_of(step)


@pytest.mark.parametrize(
    ("text", "also", "said"),
    [
        (
            "from bonafide import Lazy\ndef f(): return Lazy",
            (),
            "has no 'Lazy' that can be found without",
        ),
        (
            "from bonafide.gone import x\ndef f(): return x",
            (),
            "module bonafide.gone has no source",
        ),
        ("def f(): pass", ("no_such_package.x",), "module no_such_package.x has no source"),
    ],
)
def test_what_cannot_be_found_is_not_passed_over(
    text: str, also: tuple[str, ...], said: str, tree: Path
) -> None:
    (tree / "ours" / "bonafide" / "a.py").write_text(text)
    with pytest.raises(LookupError, match=said):
        files_behind(function_of("f"), also)


def test_nothing_is_imported_to_look() -> None:
    code = (
        "import sys, types; from bonafide.dependencies import files_behind\n"
        "start = types.SimpleNamespace(__module__='bonafide.export.candidate',"
        " __name__='build_candidate')\n"
        "assert len(files_behind(start)) > 10\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'keras', 'numpy', 'pydantic'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert importlib.util.find_spec("numpy") and path_of("bonafide.audio")
