"""When a finished step may stand in for a new one."""

from types import ModuleType

from zenml.config.cache_policy import CachePolicy

import bonafide.errors
import bonafide.spec


def reuse_unless_changed(*modules: ModuleType, ignore: list[str] | None = None) -> CachePolicy:
    """Reuse a result while parameters, inputs' content, the step and these modules stay the same.

    ZenML looks at a step's own code alone; what the step calls is named here.
    """
    return CachePolicy(
        include_artifact_ids=False,
        ignored_inputs=ignore,
        source_dependencies=[bonafide.errors, bonafide.spec, *modules],
    )
