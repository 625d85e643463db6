"""What ZenML is told before it is imported."""

import os
from pathlib import Path

import bonafide


def prepare_zenml() -> None:
    """Keep ZenML quiet and to itself; whatever the user has set stays."""
    os.environ.setdefault("ZENML_ANALYTICS_OPT_IN", "false")
    os.environ.setdefault("ZENML_LOGGING_VERBOSITY", "CRITICAL")
    os.environ.setdefault("ZENML_ENABLE_RICH_TRACEBACK", "false")
    # Steps are found by where this package lies, whatever folder the command is typed in.
    os.environ.setdefault(
        "ZENML_CUSTOM_SOURCE_ROOT", str(Path(bonafide.__file__).resolve().parent.parent)
    )
