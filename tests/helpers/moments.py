"""How much of what is alike is tried: some in every test run, all by `make test-all`."""

import os

ALL = os.environ.get("BONAFIDE_MOMENTS") == "all"
