"""What is data is never run as code, and what is secret is never written: rules over all modules, and a run watched."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest

import data_prep.__main__
from data_prep.base.errors import InputError
from tests.run_records import record_of
from tests.test_layering import MODULES, tree, within
from tests.trainer.small_runs import launcher_variables_kept, run, write_cells, write_recipe
from trainer.__main__ import main
from trainer.runs.record import update_record

# The places that may unpickle: a run's own checkpoints, which DeepSpeed pickles; and, tensors only, the conversion to
# safetensors.
UNPICKLE = ("trainer.checkpoint", "trainer.engine")
UNPICKLE_TENSORS = (*UNPICKLE, "trainer.model.convert")
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
YAML_CODE = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all", "Loader", "FullLoader",
             "UnsafeLoader", "CLoader", "CFullLoader", "CUnsafeLoader"}
CODE_FROM_TEXT = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "torch.hub.load",
                  "torch.serialization.load", "torch.serialization.add_safe_globals"}


def dotted(node: ast.expr) -> str:
    """`torch.load` of a call's function, as far as it is spelt out."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([*([node.id] if isinstance(node, ast.Name) else ["?"]), *reversed(parts)])


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def faults(module: str) -> list[str]:
    """What `module` does that would run data as code, as "line: what"."""
    found = []
    for node in ast.walk(tree(MODULES[module])):
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code" and not is_constant(node.value, False):
            found.append(f"{node.value.lineno}: trust_remote_code")
        if isinstance(node, ast.Import | ast.ImportFrom) and not within(module, *UNPICKLE):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: imports {name}" for name in names if name.split(".")[0] in PICKLES]
        if isinstance(node, ast.Call) and (what := fault_of(node)):
            name = dotted(node.func)
            if not (name == "torch.load" and within(module, *UNPICKLE_TENSORS) and "weights_only" not in what):
                found.append(f"{node.lineno}: {name} {what}")
    return found


def fault_of(call: ast.Call) -> str:
    """What is wrong with a call, empty where nothing is."""
    name = dotted(call.func)
    first, last = name.split(".")[0], name.split(".")[-1]
    if last == "from_pretrained" and not is_constant(keyword(call, "trust_remote_code"), False):
        return "without trust_remote_code=False"
    is_model = last == "from_pretrained" and not first.endswith(("Tokenizer", "Config"))
    if is_model and not is_constant(keyword(call, "use_safetensors"), True):
        return "without use_safetensors=True"
    is_numpy = first in ("np", "numpy") and last in ("load", "read_array")
    if is_numpy and not is_constant(keyword(call, "allow_pickle"), False):
        return "without allow_pickle=False"
    if (shell := keyword(call, "shell")) is not None and not is_constant(shell, False):
        return "through a shell"
    if last in ("extractall", "unpack_archive"):
        return "unpacks an archive"
    if name == "torch.load" and not is_constant(keyword(call, "weights_only"), True):
        return "without weights_only=True"
    if name in CODE_FROM_TEXT or (first == "yaml" and last in YAML_CODE):
        return "runs what it reads"
    return ""


@pytest.mark.parametrize("module", MODULES)
def test_no_data_is_run_as_code(module: str) -> None:
    assert not faults(module)


@pytest.mark.parametrize("line", [
    "AutoModel.from_pretrained(x)", "AutoModel.from_pretrained(x, trust_remote_code=True, use_safetensors=True)",
    "AutoModel.from_pretrained(x, trust_remote_code=False)", "f(trust_remote_code=flag)", "torch.load(x)",
    "torch.load(x, weights_only=True)",
    "import pickle", "from pickle import loads", "np.load(x)", "numpy.load(x, allow_pickle=True)", "os.system(x)",
    "yaml.load(x, yaml.Loader)", "yaml.unsafe_load(x)", "eval(x)", "subprocess.run(x, shell=True)",
    "archive.extractall()"])
def test_the_rules_find_what_they_are_for(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.py").write_text(line + "\n")
    monkeypatch.setitem(MODULES, "bad", tmp_path / "bad.py")
    assert faults("bad")


@pytest.mark.parametrize(("line", "allowed"), [
    ("torch.load(x, weights_only=True)", True), ("torch.load(x)", False), ("torch.load(x, weights_only=False)", False),
    ("torch.load(x, weights_only=safe)", False), ("import pickle", False), ("torch.serialization.load(x)", False),
    ("torch.serialization.add_safe_globals([x])", False)])
def test_the_conversion_of_pickles_reads_tensors_only(line: str, allowed: bool, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "convert.py").write_text(line + "\n")
    monkeypatch.setitem(MODULES, "trainer.model.convert", tmp_path / "convert.py")
    assert bool(faults("trainer.model.convert")) != allowed


# --- secrets --------------------------------------------------------------------------------------------------------
SECRET = "s3cr3t-f00d"
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY")


@pytest.fixture
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, f"http://user:{SECRET}@proxy:1" if name == "HTTPS_PROXY" else SECRET)


def spelt(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


@pytest.mark.usefixtures("_secrets")
def test_no_variable_of_the_environment_is_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing that training, evaluation and a report write or say holds what the environment holds."""
    write_cells(tmp_path / "shards")
    folder = run(write_recipe(tmp_path, tmp_path / "shards"), "watched", {"schedule.max_steps": "2"})
    with launcher_variables_kept():
        assert main(["evaluate", str(folder), "--tasks", "xnli", "--splits", "dev"]) == 0
    assert main(["report", str(folder), "--out", str(tmp_path / "report")]) == 0
    assert main(["doctor", "--noselftest"]) in (0, 1)
    assert main(["evaluate", str(folder), "--tasks", "none"]) == 2
    captured = capfd.readouterr()
    assert SECRET not in captured.out + captured.err
    assert not spelt(tmp_path)


def test_the_commit_is_recorded_and_the_remote_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone of a private repository often has a token in the URL of its remote."""
    clone = tmp_path / "clone" / "trainer" / "runs"
    clone.mkdir(parents=True)
    git = ["git", "-C", str(tmp_path / "clone"), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["remote", "add", "origin", f"https://user:{SECRET}@host/x.git"],
                  ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr("trainer.runs.record.__file__", str(clone / "record.py"))
    update_record(tmp_path, **record_of())
    assert json.loads((tmp_path / "run.json").read_text())["versions"]["commit"] not in ("", "unknown")
    assert not [path for path in spelt(tmp_path) if ".git" not in path.parts]


@pytest.mark.parametrize("name", [f"https://user:{SECRET}@host/model", f"hf://token:{SECRET}@x/y"])
def test_credentials_in_a_name_are_not_repeated(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_cells(tmp_path / "shards")
    recipe = write_recipe(tmp_path, tmp_path / "shards")
    with launcher_variables_kept(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        assert main(["train", str(recipe), "--model.random", "null", "--model.name", name]) == 2
        assert data_prep.__main__.main(["build", "xnli", "--source", f"hub:{name}", "--tokenizer", name,
                                        "--out", str(tmp_path / "out")]) == 2
    assert SECRET not in capsys.readouterr().err
    assert not spelt(tmp_path)


def test_messages_are_one_line_without_credentials() -> None:
    links = f"https://user:{SECRET}@host/x and ssh://{SECRET}@host"
    text = str(InputError(f"found 'a\nb\x1b[2J' at {links}, {'x' * 9999} end"))
    assert text.isprintable()
    assert SECRET not in text
    assert "https://***@host/x" in text
    assert text.endswith(" end")
    assert len(text) < 1000
