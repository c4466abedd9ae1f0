"""`python -m trainer doctor`: is this machine fit to train? Versions, accelerators, kernels, launcher, a self-test.

Exit code 0 where everything needed works, 1 where something does not; each finding says what to do.
"""

from trainer.doctor.examine import doctor

__all__ = ["doctor"]
