"""`trainer study submit` without a cluster: what is submitted, in which order, and what is not submitted again."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.base.errors import InputError
from slurm import scheduler
from slurm import submission as record
from slurm.scheduler import Job
from slurm.study import submit, submit_retries
from tests.slurm.test_submit import GOLDEN, Cluster
from tests.trainer.small_runs import tree_of
from tests.trainer.studies.small_study import RECIPE, write_study
from trainer.studies.commands import status
from trainer.studies.graph import Graph
from trainer.studies.states import Ending, read_ending, read_graph, write_ending

FLAGS = {"source": "source", "tokenizer": "tokenizer", "size": "toy", "out": "out"}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The small study in a working folder without SLURM."""
    for name in ("source", "tokenizer"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin/none")
    return str(write_study(tmp_path / "study"))


def end(graph: Graph, name: str, state: str) -> None:
    node = graph.nodes[name]
    (Path("out") / node.output).mkdir(parents=True, exist_ok=True)
    write_ending(Path("out"), node, Ending(digest=node.digest, state=state, code=0, seconds=1, started="", host="",  # type: ignore[arg-type]
                                           output=node.output))


def names(cluster: Cluster, since: int = 0) -> list[str]:
    """Names of the jobs that were submitted."""
    return [script.split("--job-name=")[1].split("\n")[0] for script, _ in cluster.submitted[since:]]


def test_golden_text(study: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(study, nodes=2, gpus=4, time="12:00:00", account="nlp", lives=9, dry_run=True, **FLAGS) == 0
    said = capsys.readouterr()
    text = said.out.replace(str(tmp_path), "/home/user/project")
    assert text == (GOLDEN / "study.sbatch").read_text(encoding="utf-8")
    assert said.err == ("6 nodes, a job each but for those that are done\n"
                        "no sbatch here: not checked against a cluster\n")
    assert not (tmp_path / "out").exists()


def test_a_job_per_node_behind_those_it_needs(
        study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster(monkeypatch)
    assert submit(study, gpus=2, **FLAGS) == 0
    graph, ids = read_graph(Path("out")), dict(zip(names(cluster), map(str, range(101, 108)), strict=True))
    assert list(ids) == [*graph.nodes, "report"]
    for node, (script, after) in zip(graph.nodes.values(), cluster.submitted, strict=False):
        assert after == [ids[name] for name in node.needs]
        assert ("#SBATCH --gpus-per-node=" in script) == (node.kind != "prepare")
        assert f"#SBATCH --ntasks-per-node={2 if node.kind == 'train' else 1}\n" in script
        assert ("#SBATCH --signal=USR1@300" in script) == (node.kind == "train")
    assert cluster.submitted[-1][1] == list(ids.values())[:-1]
    assert "6 nodes submitted, 0 in the queue before, 0 done\n" in capsys.readouterr().out
    found = [(folder, kept) for folder, kept in record.read_all(Path("out/runs"))]
    assert {kept.name for _, kept in found} == set(ids)
    assert len({(folder / "code").resolve() for folder, _ in found}) == 1, "one snapshot of the code"
    assert (found[0][0] / "code/slurm/job.sh").is_file()
    assert status("out") == 0
    assert "6 submitted\n" in capsys.readouterr().out


def test_what_is_done_or_queued_is_not_submitted_again(
        study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster(monkeypatch)
    submit(study, **FLAGS)
    graph = read_graph(Path("out"))
    step, base, plain, *_ = graph.nodes
    cluster.jobs = {str(number): Job("PENDING", "", "Dependency") for number in range(101, 108)}
    submit(study, **FLAGS)
    assert len(cluster.submitted) == 7
    assert "0 nodes submitted, 6 in the queue before, 0 done" in capsys.readouterr().out

    end(graph, step, "done")
    end(graph, base, "failed")  # and so all behind it were cancelled, but for the report
    cluster.jobs = {"107": Job("PENDING", "", "Dependency"), "102": Job("FAILED", "", "NonZeroExitCode")}
    submit(study, **FLAGS)
    assert names(cluster, 7) == [base, plain, *[name for name in graph.nodes if name not in (step, base, plain)],
                                 "report"]
    assert cluster.submitted[7][1] == []
    assert cluster.submitted[8][1] == ["108"]
    assert cluster.cancelled == ["107"]

    for name in graph.nodes:
        end(graph, name, "done")
    end(graph, base, "collapsed")
    end(graph, plain, "failed")
    cluster.jobs = {}
    submit(study, **FLAGS)
    assert len(cluster.submitted) == 7 + 6 + 1, "the report alone: what needs a collapsed training is blocked"


def test_the_next_seed_of_a_collapsed_training(
        study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """... with what needs it and the report, and no more: neither a training that failed nor what is in the queue."""
    cluster = Cluster(monkeypatch)
    with pytest.raises(InputError, match=r"out holds no submit\.json"):
        submit_retries(tmp_path / "out")
    submit(str(write_study(tmp_path / "study", retries=1)), gpus=2, lives=3, **FLAGS)
    graph = read_graph(Path("out"))
    step, base, plain, _, pgd, _ = graph.nodes
    for name, state in ((step, "done"), (base, "done"), (pgd, "failed")):
        end(graph, name, state)
    cluster.jobs = {"103": Job("RUNNING", "node1", ""), "107": Job("PENDING", "", "Dependency")}
    assert not submit_retries(tmp_path / "out"), "nothing has collapsed"
    end(graph, plain, "collapsed")
    assert submit_retries(tmp_path / "out")
    new = names(cluster, 7)
    assert [name.rpartition("-")[0] for name in new] == [
        "target-plain-seed1000", "evaluate1-target-plain-seed1000", ""]
    assert [after for _, after in cluster.submitted[7:]] == [[], ["108"], ["108", "109"]]
    assert "#SBATCH --ntasks-per-node=2\n" in cluster.submitted[7][0]
    assert " lives_allowed=3\n" in cluster.submitted[7][0]
    assert cluster.cancelled == ["107"], "the report that did not wait for them"
    graph = read_graph(Path("out"))
    ended = read_ending(Path("out"), graph.nodes[pgd])
    assert ended is not None
    assert ended.state == "failed"
    assert not submit_retries(tmp_path / "out"), "they are submitted"
    end(graph, new[0], "collapsed")
    assert not submit_retries(tmp_path / "out"), "no seed is left"
    (tmp_path / "study/tiny.yaml").write_text(RECIPE.replace("max_steps: 4", "max_steps: 5"))
    with pytest.raises(InputError, match=r"what it reads has changed since it was submitted: base-seed5-.* is another"):
        submit_retries(tmp_path / "out")
    assert len(cluster.submitted) == 10


def test_a_refused_study_leaves_nothing(study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, before = Cluster(monkeypatch), tree_of(tmp_path)

    def refuse(script: str) -> str:
        raise InputError("SLURM refuses: no such partition")

    monkeypatch.setattr(scheduler, "check", refuse)
    with pytest.raises(InputError, match="no such partition"):
        submit(study, partition="none", **FLAGS)
    with pytest.raises(InputError, match="--gpus must be at least 0"):
        submit(study, gpus=-1, **FLAGS)
    assert not cluster.submitted
    assert tree_of(tmp_path) == before


def test_jobs_before_a_refused_one_stay(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of jobs per user: the same command goes on later."""
    cluster = Cluster(monkeypatch, refuses=3)
    with pytest.raises(InputError, match="SLURM refuses"):
        submit(study, **FLAGS)
    assert (len(cluster.submitted), cluster.cancelled) == (3, [])
    cluster.refuses, cluster.jobs = None, {str(number): Job("RUNNING", "node1", "") for number in (101, 102, 103)}
    submit(study, **FLAGS)
    assert len(cluster.submitted) == 7
