"""Studies: research questions as YAML files, each run as one graph of commands, here or on SLURM.

`schema` defines a study, `load` reads one and picks its size, `expand` turns it into a `graph` of nodes, `states`
records how they ended, `local` runs them on this machine, `commands` is `python -m trainer study`.
"""
