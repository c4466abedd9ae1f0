"""Jobs on a SLURM cluster: job scripts (`*.sbatch`), `python -m slurm.submit` and `python -m slurm.status`."""
