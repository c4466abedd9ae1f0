"""`python -m trainer size RECIPE --ranks N`: memory and time of a run on paper."""
