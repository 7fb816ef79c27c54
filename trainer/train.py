"""The program that a training job runs, on SageMaker or as a plain process."""

import os
import sys

# OpenMP reads this once, when torch loads it. Threads that wait for one another then sleep instead of
# spinning: on a machine with other work to do, spinning makes a training several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from training import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
