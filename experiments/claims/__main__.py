"""``python -m experiments.claims``."""

import sys

from experiments.claims import main

if __name__ == "__main__":
    sys.exit(main())
