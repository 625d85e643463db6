"""Run the command line with ``python -m bonafide.cli``."""

import sys

from bonafide.cli.root import main

if __name__ == "__main__":
    sys.exit(main())
