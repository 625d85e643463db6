"""What other schedulers need to train by the clock: crontab, systemd, Kubernetes, ZenML."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bonafide.errors import ConfigError


@dataclass(frozen=True)
class Job:
    """A training to be started by another scheduler.

    Parameters
    ----------
    cron : str
        Five fields.
    timezone : str
        Such as ``Europe/Berlin``.
    command : sequence of str
        ``bonafide train`` and its options, with absolute paths.
    places : dict of str to str
        Variables that name folders, absolute: ``BONAFIDE_HOME`` and, where it is set,
        ``ZENML_CONFIG_PATH``.
    settings : dict
        The configuration, as JSON.
    corpora : sequence of str
        Absolute paths.
    image : str
        For Kubernetes: an image with bonafide in it.
    """

    cron: str
    timezone: str
    command: Sequence[str]
    places: dict[str, str]
    settings: dict[str, object]
    corpora: Sequence[str]
    image: str


def crontab(job: Job) -> str:
    """Return lines for ``crontab -e``; where cron knows no CRON_TZ, its times are the machine's."""
    # cron takes % for the end of the line
    variables = [f"{name}={value}" for name, value in job.places.items()]
    command = shlex.join(["env", *variables, *job.command]).replace("%", r"\%")
    return f"CRON_TZ={job.timezone}\n{job.cron} {command}\n"


def systemd(job: Job) -> str:
    """Return a unit that keeps `bonafide schedule run` alive."""
    program, _, *words = (word for word in job.command if word != "--quiet")
    at = ["schedule", "run", "--cron", job.cron, "--timezone", job.timezone]
    # systemd takes % and $ for its own
    quoted = " ".join(f'"{word}"' if " " in word else word for word in [program, *at, *words])
    variables = " ".join(f'"{name}={value}"' for name, value in job.places.items())
    return (
        "[Unit]\n"
        "Description=Bonafide retrains by the clock\n"
        "After=network-online.target\n\n"
        "[Service]\n"
        f"Environment={variables.replace('%', '%%')}\n"
        f"ExecStart={quoted.replace('%', '%%').replace('$', '$$')}\n"
        "Restart=on-failure\n"
        "TimeoutStopSec=90\n\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )


def kubernetes(job: Job) -> str:
    """Return a CronJob; home and corpora are on a volume, at the paths that they have here."""
    folders = {*job.places.values(), *(str(_folder(path)) for path in job.corpora)}
    # what lies in another of them is mounted with it
    outer = [each for each in folders if not folders & set(map(str, Path(each).parents))]
    container = {
        "name": "train",
        "image": job.image,
        "command": ["bonafide", *job.command[1:]],
        "env": [{"name": name, "value": value} for name, value in job.places.items()],
        "volumeMounts": [
            {"name": "data", "mountPath": path, "subPath": path.strip("/")}
            for path in sorted(outer)
        ],
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "bonafide"}}
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    cron_job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "bonafide-train"},
        "spec": {
            "schedule": job.cron,
            "timeZone": job.timezone,
            "concurrencyPolicy": "Forbid",  # one training a home
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
        },
    }
    return str(yaml.safe_dump(cron_job, sort_keys=False))


def zenml(job: Job) -> str:
    """Return a run's YAML with a schedule, for stacks whose orchestrator takes one; UTC alone."""
    if job.timezone != "UTC":
        seen = f"--timezone {job.timezone}: a schedule of ZenML's is in UTC; must be UTC"
        raise ConfigError("bad_timezone", seen)
    run = {
        "parameters": {"config": job.settings, "corpora": list(job.corpora)},
        "schedule": {"name": "bonafide", "cron_expression": job.cron, "catchup": False},
    }
    return str(yaml.safe_dump(run, sort_keys=False))


TARGETS: dict[str, Callable[[Job], str]] = {
    "cron": crontab,
    "systemd": systemd,
    "kubernetes": kubernetes,
    "zenml": zenml,
}


def _folder(path: str) -> Path:
    return Path(path) if Path(path).is_dir() else Path(path).parent
