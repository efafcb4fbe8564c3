"""Train or test a detector: ``python run.py detector=atss corr=concordance data=coco``."""

import sys

from corrlight.app import main

if __name__ == "__main__":
    sys.exit(main())
