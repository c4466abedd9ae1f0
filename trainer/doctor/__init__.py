"""`python -m trainer doctor`: checks that this machine can train: versions, accelerators, kernels, launcher, exactness.

Exit code 0 if everything needed works, 1 if not; each finding says what to do.
"""
