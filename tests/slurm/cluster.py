"""A real SLURM cluster of two nodes on this one machine, for tests: started in a second, as root or not.

`start` gives a `Cluster`. Its daemons (munged, slurmctld, one slurmd per node) are children of this process, without
systemd, control groups or a database of accounts, and all they write lies in a folder of their own. Each has a
hostname of its own where namespaces are allowed. GPUs are there in name only: jobs ask for them and are given numbers.
`stop` ends the daemons and whatever is left of their jobs, and nothing else.
"""

from __future__ import annotations

import os
import pwd
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
CPUS, GPUS = 64, 8  # per node, as SLURM sees it
LAST_STATES = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")
PATIENCE_SECONDS, DAEMON_SECONDS = 300.0, 20.0
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={head}(127.0.0.1)
SlurmctldPort={head_port}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters={listening}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
MpiDefault=none
MailProg=/bin/true
FirstJobId={first_job}
MinJobAge=86400
ReturnToService=2
KillWait=15
SlurmdTimeout=15
GresTypes=gpu
NodeName=DEFAULT CPUs={cpus} RealMemory=64000 Gres=gpu:{gpus}
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=10 DefMemPerCPU=100
"""


@dataclass
class Cluster:
    """What runs, and the questions that tests ask it."""

    folder: Path
    head: str
    nodes: tuple[str, ...]
    named: bool
    """True if each daemon has a hostname of its own."""
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """For SLURM's commands: this process's, with this cluster in place of one that the tests may run on."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM", "SBATCH", "SRUN"))}
        return kept | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str, **variables: str) -> str:
        """What one of SLURM's commands says, given in the project's root; CalledProcessError where it fails."""
        done = subprocess.run(command, cwd=ROOT, env=self.environment | variables, capture_output=True, text=True,
                              timeout=60, check=True)
        return done.stdout.strip()

    def submit(self, *words: str, **variables: str) -> str:
        """`sbatch` with `words`, and `variables` beside those of the environment; the job's number."""
        return self.ask("sbatch", "--parsable", *words, **variables)

    def job(self, job: str) -> dict[str, str]:
        """What SLURM knows of a job, by its own names: JobState, Restarts, ExitCode, Reason ..."""
        said = self.ask("scontrol", "show", "job", job)
        return dict(re.findall(r"(\w+)=(.*?)(?=\s+[\w/:]+=|$)", said, re.MULTILINE))

    def said(self, job: str) -> str:
        """The text of the job's output so far."""
        path = Path(self.job(job)["StdOut"])
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def wait(self, job: str, states: Collection[str] = LAST_STATES) -> dict[str, str]:
        """The job, once it is in one of `states`."""
        self.until(lambda: self.job(job)["JobState"] in states, lambda: f"{self.job(job)}\n{self.said(job)}")
        return self.job(job)

    def until(self, happens: Callable[[], object], words: Callable[[], str]) -> None:
        """Wait for something; AssertionError with `words` where it does not happen in time."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not happens():
            assert time.monotonic() < end, f"not within {PATIENCE_SECONDS:g} s: {words()}"
            time.sleep(0.4)

    def processes(self, node: str) -> Iterator[psutil.Process]:
        """What runs on a node: its daemon, SLURM's supervisors of jobs, and the jobs' own."""
        conf, spool = str(self.folder / "slurm.conf"), str(self.folder / f"spool-{node}")
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                variables = process.environ()  # supervisors write their title over theirs, but stay in the folder
                in_job = (variables.get("SLURM_CONF"), variables.get("SLURMD_NODENAME")) == (conf, node)
                if in_job or process.cwd() == spool:
                    yield process

    def left_of(self, job: str) -> list[psutil.Process]:
        """Processes of a job that still run, on any node."""
        return [process for node in self.nodes for process in self.processes(node)
                if process.environ().get("SLURM_JOB_ID") == job]

    def start_node(self, name: str) -> None:
        """Start a node, the first time or after `kill_node`."""
        _start(self, name, name, ["slurmd", "-D", "-N", name], self.folder / f"spool-{name}")

    def kill_node(self, name: str) -> None:
        """All that runs on a node is gone, as in a power cut."""
        while found := list(self.processes(name)):
            for process in found:  # psutil makes sure that it is still the process that was found
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.02)
        if name in self.daemons:
            self.daemons[name].wait()

    def is_down(self, name: str) -> bool:
        """True if SLURM has noticed that a node is gone."""
        return "down" in self.ask("sinfo", "--noheader", f"--nodes={name}", "--format=%T")


def missing() -> str | None:
    """What a cluster lacks on this machine, for a skipped test to say; None where it can be started."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    return f"SLURM is not installed: no {', '.join(absent)}" if absent else None


def start() -> Cluster:
    """Start a cluster in a folder of its own; RuntimeError, and nothing left behind, where it does not come up."""
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))  # sockets need short paths, unlike those of pytest
    named = subprocess.run([*_with_hostname("node1", Path("/etc/hosts")), "true"], capture_output=True,
                           check=False).returncode == 0
    # Without names that the machine can look up, they are numbers that it takes for its own address, 127.0.0.1 and 2.
    head, nodes = ("head", ("node1", "node2")) if named else (
        socket.gethostname().split(".")[0], ("0x7f000001", "0x7f000002"))
    cluster = Cluster(folder, head, nodes, named)
    try:
        _configure(cluster)
        _start(cluster, "munged", head, ["munged", "--foreground", f"--key-file={folder}/munge.key",
                                         f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid",
                                         f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed",
                                         "--origin=127.0.0.1"])
        _until_up(cluster, lambda: (folder / "munge.socket").exists())
        _start(cluster, "slurmctld", head, ["slurmctld", "-D"])
        for name in nodes:
            cluster.start_node(name)
        _until_up(cluster, lambda: _idle_nodes(cluster) == len(nodes))
    except BaseException:
        stop(cluster)
        raise
    return cluster


def stop(cluster: Cluster) -> None:
    """End the daemons, whatever is left of their jobs, and the folder."""
    for daemon in reversed(cluster.daemons.values()):  # they are children of this process: their numbers are theirs
        daemon.terminate()
        try:
            daemon.wait(DAEMON_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    for name in cluster.nodes:
        cluster.kill_node(name)
    shutil.rmtree(cluster.folder)


def _configure(cluster: Cluster) -> None:
    """Write the cluster's folder."""
    folder, (head_port, *ports) = cluster.folder, _free_ports(1 + len(cluster.nodes))
    folder.chmod(0o755)  # munged wants its socket to be within everybody's reach
    (folder / "state").mkdir(mode=0o700)
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    for name in cluster.nodes:
        (folder / f"spool-{name}").mkdir()
    for number in range(GPUS):
        (folder / f"gpu{number}").symlink_to("/dev/null")
    user = pwd.getpwuid(os.getuid()).pw_name
    nodes = "\n".join(f"NodeName={name} NodeHostname={name if cluster.named else cluster.head} NodeAddr=127.0.0.1 "
                      f"Port={port}" for name, port in zip(cluster.nodes, ports, strict=True))
    listening = "NoInAddrAny,NoCtldInAddrAny" if cluster.named else "NoCtldInAddrAny"
    # Ranks meet on a port that is made of the job's number: two clusters of one machine must not number jobs alike.
    (folder / "slurm.conf").write_text(CONFIGURATION.format(
        folder=folder, head=cluster.head, head_port=head_port, user=user, listening=listening,
        first_job=random.randrange(1000, 100_000), cpus=CPUS, gpus=GPUS, nodes=nodes), encoding="utf-8")
    (folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={folder}/gpu[0-{GPUS - 1}]\n", encoding="utf-8")
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", encoding="utf-8")  # else it looks for one and fails
    names = " ".join((cluster.head, *cluster.nodes)) if cluster.named else ""
    (folder / "hosts").write_text(f"127.0.0.1 localhost {names}\n", encoding="utf-8")


def _start(cluster: Cluster, name: str, host: str, command: list[str], place: Path | None = None) -> None:
    """Start a daemon, under `host` as its hostname; what it says goes to a file of its name."""
    prefix = _with_hostname(host, cluster.folder / "hosts") if cluster.named else []
    with (cluster.folder / f"{name}.out").open("ab") as out:
        cluster.daemons[name] = subprocess.Popen(
            [*prefix, *command], env=cluster.environment | {"PATH": PATH}, cwd=place or cluster.folder,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)


def _with_hostname(name: str, hosts: Path) -> list[str]:
    """What to put before a command so that it runs under a hostname and with a list of hosts of its own."""
    unshare = ["unshare", "--uts", "--mount"] + ([] if os.getuid() == 0 else ["--map-current-user", "--keep-caps"])
    return [*unshare, "sh", "-c", 'hostname "$0" && mount --bind "$1" /etc/hosts && shift && exec "$@"', name,
            str(hosts)]


def _until_up(cluster: Cluster, happens: Callable[[], bool]) -> None:
    """Wait for something while the daemons start."""
    end = time.monotonic() + DAEMON_SECONDS
    while not happens():
        ended = any(daemon.poll() is not None for daemon in cluster.daemons.values())
        if ended or time.monotonic() > end:
            said = {path.name: path.read_text(errors="replace")[-2000:] for path in cluster.folder.glob("*.out")}
            raise RuntimeError(f"the SLURM cluster does not come up: {said}")
        time.sleep(0.05)


def _idle_nodes(cluster: Cluster) -> int:
    try:
        return int(cluster.ask("sinfo", "--noheader", "--states=idle", "--format=%D") or 0)
    except subprocess.CalledProcessError:
        return 0


def _free_ports(count: int) -> list[int]:
    """TCP ports that are free now, outside those that ranks and the kernel choose from."""
    found: list[int] = []
    for port in random.sample(range(10_000, 20_000), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports between 10000 and 20000")
