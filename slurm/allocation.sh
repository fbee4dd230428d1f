#!/bin/bash
# A whole study in one allocation, where Snakemake runs as it does on a workstation: for runs that take
# seconds, which as jobs of their own would mostly wait and start. From the folder of the repository:
#
#   sbatch slurm/allocation.sh digits
#
# Options of sbatch, before the name of this file, go over the lines below: --partition, --account, ...

# The GPU that all runs share. Where there is none: sbatch --gres=none.
#SBATCH --gres=gpu:1
# Runs at a time, and what each of them may need: a core and 4 GB.
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
# When the time is over, the same command goes on where this one was.
#SBATCH --time=4:00:00
# After a failure of the node, or when another job was more urgent, Slurm starts it again.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=allocation-%j.log

# An end without warning left the folder locked.
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then snakemake --unlock "$@"; fi

exec snakemake --cores "$SLURM_CPUS_PER_TASK" "$@"
