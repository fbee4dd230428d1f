#!/bin/bash
# A whole study in one allocation, where Snakemake runs as on a workstation: for runs of a few seconds,
# which as separate jobs would spend most of their time waiting and starting. From the repository root:
#
#   sbatch slurm/allocation.sh digits
#
# Options of sbatch before the name of this file override the lines below: --partition, --account, ...

# The GPU that all runs share. On clusters without GPUs: sbatch --gres=none.
#SBATCH --gres=gpu:1
# Number of runs at a time, with a core and 4 GB for each.
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
# When the time is up, submit the same command again to continue.
#SBATCH --time=4:00:00
# Slurm restarts the job after a node failure or a preemption.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=allocation-%j.log

# A job that was killed left the folder locked.
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then snakemake --unlock "$@"; fi

exec snakemake --cores "$SLURM_CPUS_PER_TASK" "$@"
