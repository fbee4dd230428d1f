"""A real Slurm on this machine, for tests: munged, slurmctld and slurmd on loopback, as root.

No systemd, no cgroups, no accounting. Its GPUs are not real, but copies of /dev/null: a job sees
CUDA_VISIBLE_DEVICES and no GPU, and trains on the CPU.
"""

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")

_SLURM_CONF = """\
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
# A job that is requeued waits for as long as the credentials of its first run are good.
AuthInfo=socket={folder}/run/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
# The node says that it has more than the machine has: no job of the tests needs what it asks for.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge=300
KillWait=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=256000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=cpu State=UP
PartitionName=gpu Nodes=localhost Default=YES MaxTime=INFINITE State=UP
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

    def __init__(self, folder: Path, gpus: int, port: int = 16817):
        self.folder, self.port = folder, port
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        }
        self._daemons: dict[str, subprocess.Popen] = {}
        self._configure(gpus)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _configure(self, gpus: int) -> None:
        for name in ("bin", "dev", "log", "munge", "run", "spool", "state"):
            (self.folder / name).mkdir()
        (self.folder / "munge").chmod(0o700)
        (self.folder / "run").chmod(0o755)  # munged refuses a closed folder
        null = os.stat(os.devnull).st_rdev
        for index in range(gpus):
            os.mknod(self.folder / f"dev/gpu{index}", stat.S_IFCHR | 0o666, null)
        (self.folder / "gres.conf").write_text(
            "AutoDetect=off\n"
            f"NodeName=localhost Name=gpu File={self.folder}/dev/gpu[0-{gpus - 1}]\n"
        )
        (self.folder / "slurm.conf").write_text(
            _SLURM_CONF.format(
                folder=self.folder, gpus=gpus, port=self.port, node_port=self.port + 1
            )
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
        configuration = ("-f", self.environment["SLURM_CONF"])
        self._daemon("slurmctld", "-D", "-i", *configuration)
        self._daemon("slurmd", "-D", "-N", "localhost", *configuration)
        self._wait("slurmd", lambda: self.ask("sinfo", "-h", "-p", "gpu", "-o", "%T") == "idle")

    def _daemon(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"log/{name}.out", "a") as output:
            self._daemons[name] = subprocess.Popen(
                [name, *arguments],
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
        """The jobs in these states: id, state, rule (Snakemake's comment)."""
        lines = self.ask("squeue", "-h", "-t", ",".join(states), "-o", "%i|%T|%k").splitlines()
        return [dict(zip(("id", "state", "rule"), line.split("|"), strict=True)) for line in lines]

    def stop(self) -> None:
        """End what was started, the last first."""
        for daemon in reversed(self._daemons.values()):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
