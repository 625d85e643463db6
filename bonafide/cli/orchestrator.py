"""ZenML's environment, which must be set before it is imported."""

import os
from pathlib import Path

import bonafide


def prepare_zenml() -> None:
    """Turn ZenML's logs and analytics off; whatever the user has set stays."""
    os.environ.setdefault("ZENML_ANALYTICS_OPT_IN", "false")
    os.environ.setdefault("ZENML_LOGGING_VERBOSITY", "CRITICAL")
    os.environ.setdefault("ZENML_ENABLE_RICH_TRACEBACK", "false")
    # Steps are found beside this package, whatever the working directory.
    os.environ.setdefault(
        "ZENML_CUSTOM_SOURCE_ROOT", str(Path(bonafide.__file__).resolve().parent.parent)
    )
