"""When a finished step may stand in for a new one, and when one that failed is tried again."""

import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zenml import step
from zenml.config import ResourceSettings
from zenml.config.cache_policy import CachePolicy
from zenml.config.retry_config import StepRetryConfig
from zenml.steps.step_context import StepContext

from bonafide.dependencies import ROOT, files_behind
from bonafide.errors import storage_error
from bonafide.process.isolate import is_stopped

# For steps that read much from afar. They wait by themselves, so that what is final ends at once.
RETRY = StepRetryConfig(max_retries=2)
# What orchestrators that give each step a machine of its own ask for; the local one does not.
FITTING = ResourceSettings(cpu_count=2, memory="8GB")
PAUSE_S, LONGER = 5.0, 3.0
_final: dict[tuple[str, str], BaseException] = {}  # by run and step, why it is not tried again


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
    files = files_behind(inspect.unwrap(getattr(function, "entrypoint", function)), also)
    return CachePolicy(
        include_artifact_ids=False,
        file_dependencies=[
            str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path) for path in files
        ],
    )


def cached_step(
    function: Callable[..., Any] | None = None,
    *,
    retry: StepRetryConfig | None = None,
    resources: ResourceSettings | None = None,
) -> Any:
    """Make a step whose result is reused while nothing changes that it depends on."""
    if function is None:
        return functools.partial(cached_step, retry=retry, resources=resources)
    settings: Mapping[str, Any] = {"resources": resources} if resources else {}
    made = step(cache_policy=policy_for(function), retry=retry, settings=settings)
    return made(tried(function))


def tried(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a step that ZenML tries again do so only where that can help.

    ZenML repeats a step whatever it failed for, Ctrl-C too. Only what lies outside of the step's
    code, and errors of the system that are not those of a full or closed disk, can pass; anything
    else is raised again, at once, until ZenML has had its tries.

    Parameters
    ----------
    function : callable
        What the step does.

    Returns
    -------
    callable
        The same, to be made a step.
    """

    @functools.wraps(function)
    def attempt(*arguments: Any, **named: Any) -> Any:
        context = StepContext.get()
        if context is None:  # outside of a run
            return function(*arguments, **named)
        which = str(context.pipeline_run.id), context.step_run.name
        if is_stopped():
            raise KeyboardInterrupt
        if which in _final:
            raise _final[which]
        tries, retry = context.step_run.version, context.step_run.config.retry
        if tries > 1 and retry and not retry.delay:
            time.sleep(PAUSE_S * LONGER ** (tries - 2))
        try:
            return function(*arguments, **named)
        except BaseException as error:
            if not _passes(error):
                _final[which] = error
            raise

    return attempt


def _passes(error: BaseException) -> bool:
    """Return whether another try can go better."""
    return isinstance(error, OSError) and storage_error(error, Path()) is None
