"""When a finished step may stand in for a new one."""

from collections.abc import Callable, Sequence
from typing import Any

from zenml import step
from zenml.config.cache_policy import CachePolicy

from bonafide.dependencies import ROOT, files_behind


def policy_for(function: Callable[..., Any], also: Sequence[str] = ()) -> CachePolicy:
    """Return the policy that reuses a result while inputs, step and code behind it are the same.

    ZenML looks only at a step's own code; the files behind it are found by following what it uses.

    Parameters
    ----------
    function : callable
        The step, or the function that it is made of.
    also : sequence of str
        Modules that it looks up by name at run time, such as ``bonafide.models.gru``; those of
        other packages are watched too.

    Returns
    -------
    CachePolicy
        Inputs count by their content.
    """
    files = files_behind(getattr(function, "entrypoint", function), also)
    return CachePolicy(
        include_artifact_ids=False,
        file_dependencies=[
            str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path) for path in files
        ],
    )


def cached_step(function: Callable[..., Any]) -> Any:
    """Make a step whose result is reused while nothing changes that it depends on."""
    return step(cache_policy=policy_for(function))(function)
