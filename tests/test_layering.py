"""The rooms of the project: imports go one way, and the house rules that a program can check."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for package in ("data_prep", "trainer", "slurm") for path in (ROOT / package).rglob("*.py"))
DOORS = ("data_prep.shards", "data_prep.base")
ABOVE_BOTH = ("trainer.demo", "trainer.studies")
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, anywhere in it; `from a import b` counts as a.b where that is a module."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES or module not in MODULES else module for name in inner} | {module}
    return frozenset(found)


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def reached(package: str) -> set[str]:
    """All modules that importing `package` brings in, through our own files, parents' `__init__` included."""
    todo = [name for name in MODULES if within(name, package)]
    seen = set(todo)
    while todo:
        name = todo.pop()
        parents = {".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)}
        for other in imports(MODULES[name]) | parents if name in MODULES else ():
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def offenders(rule: object) -> list[str]:
    return [f"{name} imports {other}" for name, path in MODULES.items() for other in imports(path)
            if rule(name, other)]  # type: ignore[operator]


def test_the_graph_is_read_at_all() -> None:
    assert "data_prep.shards.read" in imports(MODULES["trainer.data.loader"])
    assert "trainer.kernels.reference" in imports(MODULES["trainer.kernels.dispatch"])
    assert "deepspeed" in reached("trainer.train")


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


def test_the_report_reads_rows_and_no_model_code() -> None:
    torch_parts = {name for name in reached("trainer.report") if within(name, "torch", "transformers", "deepspeed")}
    assert torch_parts <= {"torch.utils.tensorboard", "torch.utils.tensorboard.SummaryWriter"}
    ours = {name for name in reached("trainer.report") if within(name, "trainer")}
    rooms = ("trainer.report", "trainer.statistics", "trainer.results", "trainer.plots")
    assert {name for name in ours if not within(name, *rooms)} <= {"trainer"}


def test_nothing_below_imports_demo_or_studies() -> None:
    assert not offenders(lambda name, other: within(other, *ABOVE_BOTH) and not within(name, *ABOVE_BOTH))


def test_nothing_imports_main() -> None:
    assert not offenders(lambda name, other: other.split(".")[-1] == "__main__")


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
