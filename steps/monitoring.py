"""The step that looks at what a service answered."""

from pathlib import Path
from typing import Annotated

from zenml import step

import materializers  # noqa: F401  registers how artifacts are stored
from bonafide.bundle import read_bundle
from bonafide.monitoring.expected import expected_of
from bonafide.monitoring.record import Record
from bonafide.monitoring.watch import Watch
from bonafide.training.step_config import MonitorConfig
from steps.policy import tried


@step(enable_cache=False)
@tried
def monitor(config: MonitorConfig) -> Annotated[Watch, "watch"]:
    """Compare the newest answers of a bundle with its first, or with those to its training rows."""
    record = Record(Path(config.record))
    reference = expected_of(read_bundle(Path(config.reference))) if config.reference else ()
    return Watch.of(
        record,
        config.bundle,
        window_rows=config.window_rows,
        last=config.last,
        reference=reference,
    )
