"""Directions of imports, and the house rules that a program can check. Imports under TYPE_CHECKING do not count."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for package in ("data_prep", "trainer", "slurm") for path in (ROOT / package).rglob("*.py"))
DOORS = ("data_prep.shards", "data_prep.base", "data_prep.languages", "data_prep.suggest")
ABOVE_BOTH = ("trainer.demo", "trainer.studies", "trainer.predict")  # the last encodes texts as `data_prep build` does
# Each may import those before it, never those behind it.
LAYERS = {
    "data_prep": ("base", "shards", "languages", "suggest", "tasks", "kinds", "sources", "commands", "tokenizer",
                  "workers", "listing", "completion", "planning", "writing", "build", "augment", "subset",
                  "verify", "__main__"),
    "trainer": ("commands", "settings", "statistics", "metrics", "results", "plots", "report", "kernels", "robust",
                "config", "kinds", "distributed", "data", "runs", "completion", "model", "engine", "checkpoint",
                "evaluate", "retrieval", "shaping", "diagnose", "predict", "robust_training", "monitor", "loop",
                "training", "train", "size", "bench", "doctor", "demo", "studies", "__main__"),
    "slurm": ("scheduler", "submission", "jobs", "render", "submit", "study", "status"),
}
WITHOUT_TORCH = ("statistics", "metrics", "results", "plots", "report", "commands")
HEAVY = ("torch", "deepspeed", "transformers")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes(node: ast.AST, lazy: bool) -> Iterator[ast.AST]:
    """All nodes below `node` that run: not those under TYPE_CHECKING, and with `lazy` false not those in functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if lazy or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from nodes(child, lazy)


@cache
def imports(path: Path, lazy: bool = True) -> frozenset[str]:
    """Every module that a file imports; `from a import b` counts as a.b where that is a module.

    lazy: with the imports inside functions.
    """
    found = set()
    for node in nodes(tree(path), lazy):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES or module not in MODULES else module for name in inner}
            found |= {module} - MODULES.keys()
    return frozenset(found)


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def parents(module: str) -> set[str]:
    return {".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)}


def room(module: str) -> str:
    """Package of a module: `trainer.robust.pgd` is in `trainer.robust`, `trainer.loop` is one of its own."""
    return ".".join(module.split(".")[:2])


def reached(package: str, lazy: bool = True) -> set[str]:
    """All modules that importing `package` brings in, through our own files, parents' `__init__` included."""
    todo = [name for name in MODULES if within(name, package)]
    seen = set(todo)
    while todo:
        name = todo.pop()
        for other in imports(MODULES[name], lazy) | parents(name) if name in MODULES else ():
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def offenders(rule: Callable[[str, str], bool]) -> list[str]:
    return [f"{name} imports {other}" for name, path in MODULES.items() for other in imports(path) if rule(name, other)]


def loops(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Sets of nodes that reach each other: the strongly connected components of more than one node."""
    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            new = graph[todo.pop()] - seen
            seen |= new
            todo += new
        return seen

    below = {node: reach(node) for node in graph}
    return [set(found) for found in {frozenset(other for other in below[node] if node in below[other])
                                     for node in graph} if len(found) > 1]


def test_the_graph_is_read_at_all() -> None:
    assert "data_prep.shards.read" in imports(MODULES["trainer.data.loader"])
    assert "trainer.kernels.reference" in imports(MODULES["trainer.kernels.dispatch"])
    assert "deepspeed" in reached("trainer.train")
    assert "deepspeed" not in reached("trainer.train", lazy=False)
    assert loops({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "d"}}) == [{"b", "c"}]


def test_no_file_imports_in_a_loop() -> None:
    """Importing from another package also runs that package's `__init__`."""
    graph = {name: {other for used in imports(path) & MODULES.keys() for other in (
        used, *(above for above in parents(used) if not within(name, above)))} for name, path in MODULES.items()}
    assert not loops(graph)


def test_no_package_imports_in_a_loop() -> None:
    graph: dict[str, set[str]] = {room(name): set() for name in MODULES}
    for name, path in MODULES.items():
        graph[room(name)] |= {room(other) for other in imports(path) & MODULES.keys() if "." in other} - {room(name)}
    assert not loops(graph)


@pytest.mark.parametrize("package", LAYERS)
def test_packages_import_only_those_below(package: str) -> None:
    order = [f"{package}.{name}" for name in LAYERS[package]]
    assert not {room(name) for name in MODULES if within(name, package)} - {package, *order}, "packages without a place"
    assert not offenders(lambda name, other: {room(name), room(other)} <= set(order)
                         and order.index(room(name)) < order.index(room(other)))


def test_data_prep_imports_neither_torch_nor_trainer() -> None:
    assert not offenders(lambda name, other: within(name, "data_prep")
                         and within(other, "torch", "trainer", "deepspeed", "slurm"))
    assert not {name for name in reached("data_prep") if within(name, "torch", "trainer")}


def test_the_trainer_enters_data_prep_through_its_doors() -> None:
    assert not offenders(lambda name, other: within(name, "trainer") and not within(name, *ABOVE_BOTH)
                         and within(other, "data_prep") and not within(other, *DOORS) and other != "data_prep")


@pytest.mark.parametrize("package", ["trainer.robust", "trainer.kernels"])
def test_methods_and_kernels_know_neither_engine_nor_model(package: str) -> None:
    assert not {name for name in reached(package)
                if within(name, "deepspeed", "transformers", "trainer.model", "trainer.engine")}


def test_only_the_engine_imports_deepspeed() -> None:
    assert {name for name, path in MODULES.items() if any(within(other, "deepspeed") for other in imports(path))} \
        == {"trainer.engine.engine", "trainer.engine.ds_config"}  # the latter: its models of configurations


@pytest.mark.parametrize("package", ["trainer.predict", "trainer.robust_training"])
def test_predictions_and_loops_of_ones_own_need_no_deepspeed(package: str) -> None:
    assert not {name for name in reached(package) if within(name, "deepspeed")}


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_what_reads_rows_needs_no_torch(package: str) -> None:
    assert not {name for name in reached(f"trainer.{package}") if within(name, *HEAVY)}


def test_the_report_reads_rows_and_no_model_code() -> None:
    ours = {name for name in reached("trainer.report") if within(name, "trainer")}
    rooms = ("trainer.report", "trainer.statistics", "trainer.results", "trainer.plots", "trainer.metrics")
    assert {name for name in ours if not within(name, *rooms)} <= {"trainer", "trainer.settings"}


def test_nothing_below_imports_demo_or_studies() -> None:
    assert not offenders(lambda name, other: within(other, *ABOVE_BOTH) and not within(
        name, *ABOVE_BOTH, "slurm.study"))  # which submits them


def test_nothing_imports_main() -> None:
    assert not offenders(lambda name, other: other.split(".")[-1] == "__main__")


def compared_words(path: Path, subject: str) -> set[str]:
    """Strings that a name or attribute `subject` is compared with by ==, !=, in or match."""
    def strings(node: ast.AST) -> set[str]:
        return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}

    def is_subject(node: ast.AST) -> bool:
        return getattr(node, "attr", getattr(node, "id", None)) == subject

    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Compare) and any(map(is_subject, (node.left, *node.comparators))):
            found |= strings(node)
        elif isinstance(node, ast.Match) and is_subject(node.subject):
            found |= {word for case in node.cases for word in strings(case.pattern)}
    return found


@pytest.mark.parametrize(("subject", "home"), [
    ("kind", ("trainer.kinds", "data_prep.kinds")), ("method", ("trainer.robust",))])
def test_no_plug_in_is_tested_by_name_outside_its_room(subject: str, home: tuple[str, ...]) -> None:
    names = set.intersection(*({name.rpartition(".")[2] for name in MODULES if within(name, room)} for room in home))
    found = {name: words & names for name, path in MODULES.items() if not within(name, *home)
             if (words := compared_words(path, subject)) & names}
    assert not found


def test_shapes_of_labels_are_the_kinds_business() -> None:
    assert not [name for name, path in MODULES.items() if not within(name, "trainer.kinds")
                and "labels.dim()" in ast.unparse(tree(path))]


def test_names_of_one_encoder_family_stay_in_its_file() -> None:
    def names_roberta(node: ast.AST) -> bool:
        return getattr(node, "attr", None) == "roberta" or (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("roberta."))

    assert not [name for name, path in MODULES.items() if not within(name, "trainer.model.encoders")
                and any(map(names_roberta, ast.walk(tree(path))))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_house_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(tree(path)), "no module docstring"
    assert path.stem not in ("utils", "helpers", "common", "misc")
    assert text.count("\n") <= MAX_FILE_LINES, f"{text.count(chr(10))} lines, at most {MAX_FILE_LINES}"
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
    long = {node.name: size for node in functions
            if (size := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES}
    assert not long, f"functions of more than {MAX_FUNCTION_LINES} lines: {long}"
    future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree(path).body)
    assert future or not functions, "from __future__ import annotations"
