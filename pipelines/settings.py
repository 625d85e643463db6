"""What ZenML is told of a run beside what it computes: images, tags, and a user's own YAML."""

from pathlib import Path
from typing import Any

import yaml
from zenml.config import DockerSettings
from zenml.config.pipeline_run_configuration import PipelineRunConfiguration
from zenml.config.step_configurations import StepConfigurationUpdate

from bonafide.dependencies import ROOT
from bonafide.errors import ConfigError
from pipelines.store import own_source

TAG = "bonafide"
LOCK = ROOT / "requirements.lock"  # of a checkout; an installed wheel has none
# Images of stacks with containers hold the very versions that the tests ran with.
DOCKER = DockerSettings(
    requirements=str(LOCK) if LOCK.is_file() else ["bonafide[train]"],
    environment={"ZENML_ANALYTICS_OPT_IN": "false"},
)
# Keys of pipelines in ZenML's YAML that are no fields of `PipelineRunConfiguration`.
HOOKS = ("on_failure", "on_success", "on_start", "on_end")


def with_run_file(wiring: Any, path: Path) -> Any:
    """Apply a YAML file of ZenML's to a pipeline.

    ZenML leaves out what it does not know, and goes on; here that is an error.

    Parameters
    ----------
    wiring : ZenML pipeline
        To be run.
    path : Path
        Such as `examples/zenml.yaml`.

    Returns
    -------
    ZenML pipeline
        A copy.

    Raises
    ------
    ConfigError
        ``bad_zenml`` if it cannot be read, or holds what cannot be applied.
    """
    values = _read(path)
    steps = values.get("steps") or {}
    _require_known(path, values, steps, {step.name for step in getattr(wiring, "depends_on", ())})
    try:
        fields = {k: v for k, v in values.items() if k in PipelineRunConfiguration.model_fields}
        PipelineRunConfiguration.model_validate(fields)
        with own_source():  # in a notebook or a script, hooks of ours are looked for here too
            return wiring.with_options(config_path=str(path))
    except Exception as error:  # of whatever kind ZenML raises: a hook that is not there, a value
        raise _bad(path, str(error).strip()) from error


def _require_known(path: Path, values: Any, steps: Any, names: set[str]) -> None:
    """Require keys that ZenML has, none of what is computed, and steps that there are, if known."""
    if unknown := set(values) - {*PipelineRunConfiguration.model_fields, *HOOKS}:
        raise _bad(path, f"{min(unknown, key=str)}: no key of a run in ZenML's YAML")
    if not isinstance(steps, dict) or not all(isinstance(s, dict) for s in steps.values()):
        raise _bad(path, "steps: must hold keys and values of each step")
    if unknown := set(steps) - names if names else set():
        raise _bad(
            path, f"steps.{min(unknown, key=str)}: must be one of {', '.join(sorted(names))}"
        )
    where = [("parameters", values), *((f"steps.{n}.parameters", s) for n, s in steps.items())]
    if given := [name for name, holder in where if "parameters" in holder]:
        raise _bad(path, f"{given[0]}: what is computed follows from --config and --corpus")
    keys = {f"steps.{name}.{key}": key for name, step in steps.items() for key in step}
    if wrong := [n for n, key in keys.items() if key not in StepConfigurationUpdate.model_fields]:
        raise _bad(path, f"{wrong[0]}: no key of a step in ZenML's YAML")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _bad(path, f"not YAML: {error}") from error
    if not isinstance(values, dict):
        raise _bad(path, "must hold keys and values")
    return values


def _bad(path: Path, why: str) -> ConfigError:
    return ConfigError("bad_zenml", f"{path}: {why}")
