"""What ZenML is told of a run beside what it computes: images, tags, and a user's own YAML."""

from pathlib import Path
from typing import Any

import yaml
from zenml.config import DockerSettings
from zenml.config.pipeline_run_configuration import PipelineRunConfiguration

from bonafide.dependencies import ROOT
from bonafide.errors import ConfigError

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
    if unknown := set(values) - {*PipelineRunConfiguration.model_fields, *HOOKS}:
        raise _bad(path, f"{', '.join(sorted(unknown))}: no key of a run in ZenML's YAML")
    if "parameters" in values:
        raise _bad(path, "parameters: they follow from --config and --corpus here")
    steps = values.get("steps") or {}
    if named := [name for name, step in steps.items() if "parameters" in (step or {})]:
        raise _bad(path, f"steps.{named[0]}.parameters: they follow from --config here")
    known = {step.name for step in getattr(wiring, "depends_on", ())}
    if known and (unknown := set(steps) - known):
        allowed = ", ".join(sorted(known))
        raise _bad(path, f"steps.{min(unknown)}: no such step; must be one of {allowed}")
    try:
        fields = {k: v for k, v in values.items() if k in PipelineRunConfiguration.model_fields}
        PipelineRunConfiguration.model_validate(fields)
        return wiring.with_options(config_path=str(path), tags=[TAG, *values.get("tags", [])])
    except Exception as error:  # of whatever kind ZenML raises: a hook that is not there, a value
        raise _bad(path, str(error).strip()) from error


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
