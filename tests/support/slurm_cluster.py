"""A real Slurm on this machine, for tests: munged, slurmctld and two slurmd on loopback, as root.

No systemd, no cgroups, no accounting. Its GPUs are not real, but copies of /dev/null: a job sees
CUDA_VISIBLE_DEVICES and no GPU, and trains on the CPU. node0 has two, node1 has one.
"""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

GPUS = {"node0": 2, "node1": 1}
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")

_SLURM_CONF = """\
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
# A job that is requeued waits for as long as the credentials of its first run are good.
AuthInfo=socket={folder}/run/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
# The node says that it has more than the machine has: no job of the tests needs what it asks for.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Without cgroups it is Slurm itself that looks, each second, who has more memory than asked for.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
# How long a job is remembered after its end: on a slow machine, a run of the tests takes minutes.
MinJobAge=3600
KillWait=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# Only what asks for it is put back into the queue.
JobRequeue=0
SchedulerParameters=sched_interval=1,bf_interval=1
GresTypes=gpu
NodeName=DEFAULT CPUs=8 RealMemory=256000 State=UNKNOWN
NodeName=node0 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} Gres=gpu:{gpus[node0]}
NodeName=node1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} Gres=gpu:{gpus[node1]}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
# Its jobs take the place of those of the others.
PartitionName=urgent Nodes=ALL State=UP PriorityTier=2
PartitionName=cpu State=UP
"""


def missing() -> str | None:
    """Why Slurm cannot be started here, or None."""
    absent = [command for command in COMMANDS if shutil.which(command) is None]
    if absent:
        return (
            f"Slurm is not installed ({', '.join(absent)} missing): "
            "apt-get install --no-install-recommends slurm-wlm munge"
        )
    if os.geteuid() != 0:
        return "Slurm is started by root only, for the devices that stand for GPUs"
    return None


class Cluster:
    """A running Slurm; `environment` is what a process needs in order to speak to it."""

    def __init__(self, folder: Path, port: int = 16817):
        self.folder, self.ports = folder, range(port, port + 1 + len(GPUS))
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        }
        self._daemons: dict[str, subprocess.Popen] = {}
        self._configure()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _configure(self) -> None:
        for name in ("bin", "dev", "log", "munge", "run", "spool", "state"):
            (self.folder / name).mkdir()
        (self.folder / "munge").chmod(0o700)
        (self.folder / "run").chmod(0o755)  # munged refuses a closed folder
        null = os.stat(os.devnull).st_rdev
        gres = "AutoDetect=off\n"
        for node, gpus in GPUS.items():
            (self.folder / "spool" / node).mkdir()
            for gpu in range(gpus):
                file = self.folder / f"dev/{node}_gpu{gpu}"
                os.mknod(file, stat.S_IFCHR | 0o666, null)
                gres += f"NodeName={node} Name=gpu File={file}\n"
        (self.folder / "gres.conf").write_text(gres)
        (self.folder / "slurm.conf").write_text(
            _SLURM_CONF.format(folder=self.folder, ports=self.ports, gpus=GPUS)
        )
        # Snakemake's job step drops SLURM_CONF from the environment of its srun.
        srun = self.folder / "bin/srun"
        srun.write_text(
            f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
        )
        srun.chmod(0o755)
        key = self.folder / "munge/munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)

    def _start(self) -> None:
        munge = self.folder / "munge"
        self._daemon(
            *("munged", "--foreground", "--force", f"--key-file={munge / 'munge.key'}"),
            f"--socket={self.folder / 'run/munge.socket'}",
            f"--pid-file={self.folder / 'run/munged.pid'}",
            f"--seed-file={munge / 'seed'}",
        )
        self._wait("munged", (self.folder / "run/munge.socket").exists)
        self.start_controller()
        for node in GPUS:
            self.start_node(node)
        self._wait("slurmd", lambda: self.ask("sinfo", "-h", "-p", "gpu", "-o", "%T") == "idle")

    def start_controller(self) -> None:
        """Start slurmctld; it goes on with the jobs that an earlier one has written down."""
        self._daemon("slurmctld", "-D")

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node."""
        self._daemon("slurmd", "-D", "-N", name)

    def restart_controller(self, seconds: float = 1) -> None:
        """As when it is updated: for so many seconds, nobody answers."""
        self._end("slurmctld")
        time.sleep(seconds)
        self.start_controller()

    def kill_node(self, name: str) -> None:
        """As when its power fails: the slurmd and all that it started end at once."""
        slurmd = self._daemons.pop(name)
        slurmd.kill()
        slurmd.wait()
        node = {"SLURM_CONF": self.environment["SLURM_CONF"], "SLURMD_NODENAME": name}
        steps = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if node.items() <= process.environ().items():
                    steps |= {p for p in process.parents() if p.name() == "slurmstepd"}
        # First those who would tell the controller that their job has ended.
        jobs = [process for step in steps for process in step.children(recursive=True)]
        for process in [*steps, *jobs]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def repair_node(self, name: str) -> None:
        """Start a node again. It has not been missed before: Slurm would take half a minute."""
        self.ask("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=power")
        time.sleep(1)
        self.start_node(name)

    def _daemon(self, command: str, *arguments: str) -> None:
        name = arguments[-1] if command == "slurmd" else command
        with open(self.folder / f"log/{name}.out", "a") as output:
            self._daemons[name] = subprocess.Popen(
                [command, *arguments],
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _wait(self, name: str, ready) -> None:
        for _ in range(300):
            if any(daemon.poll() is not None for daemon in self._daemons.values()):
                break
            if ready():
                return
            time.sleep(0.1)
        output = "\n".join(
            path.read_text(errors="replace")[-2000:] for path in (self.folder / "log").iterdir()
        )
        raise RuntimeError(f"{name} did not come up:\n{output}")

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints; empty when it fails."""
        result = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True
        )
        return result.stdout.strip() if result.returncode == 0 else ""

    def jobs(self, states: Iterable[str] = ("all",)) -> list[dict[str, str]]:
        """The jobs in these states: id, state, limit of time, rule (Snakemake's comment)."""
        lines = self.ask("squeue", "-h", "-t", ",".join(states), "-o", "%i|%T|%l|%k").splitlines()
        keys = ("id", "state", "limit", "rule")
        return [dict(zip(keys, line.split("|"), strict=True)) for line in lines]

    def stop(self) -> None:
        """End what was started, the last first."""
        for name in list(reversed(self._daemons)):
            self._end(name)

    def _end(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(timeout=10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
