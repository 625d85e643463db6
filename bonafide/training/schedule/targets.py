"""What other schedulers need to train by the clock: crontab, systemd, Kubernetes, ZenML."""

import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from bonafide.errors import ConfigError, printable
from bonafide.registry.trust import VARIABLE as TRUSTED
from bonafide.training.schedule.cron import with_sunday_as_0

PLACES = ("ZENML_CONFIG_PATH", "BONAFIDE_ZENML", "BONAFIDE_REGISTRY", "AWS_ENDPOINT_URL")
SECRET = "bonafide"  # of Kubernetes and of ZenML: its name  # noqa: S105
SECRET_FILE = "/etc/bonafide.env"  # noqa: S105
# Where each target has what may be a secret, which is never written into what is printed.
SECRETS_AT = {
    "cron": "as lines NAME=VALUE above it in the crontab",
    "systemd": f"as lines NAME=VALUE in {SECRET_FILE}, which root alone may read",
    "kubernetes": f"by kubectl create secret generic {SECRET} --from-literal=NAME=VALUE",
    "zenml": f"by zenml secret create {SECRET} --NAME=VALUE",
}
_SECRET = re.compile(
    "ZENML_(SECRETS_)?STORE_.+|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)"
    "|GOOGLE_APPLICATION_CREDENTIALS"
)
_PLAIN = re.compile(r"[\w@%+=:,./$-]+", re.ASCII)
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"}


@dataclass(frozen=True)
class Job:
    """A training to be started by another scheduler.

    Parameters
    ----------
    cron : str
        Five fields; empty for systemd where other triggers say when.
    timezone : str
        Such as ``Europe/Berlin``.
    command : sequence of str
        ``bonafide train`` and its options, with absolute paths.
    variables : dict of str to str
        What the job's environment has to hold, as `variables_of` returns it.
    settings : dict
        The configuration, as JSON.
    corpora : sequence of str
        Absolute paths.
    image : str
        For Kubernetes: an image with bonafide in it.
    triggers : sequence of str
        Options of ``bonafide schedule run`` beside its clock, for systemd.
    configs : sequence of str
        Absolute paths of files that the command reads beside the corpora.
    secrets : sequence of str
        Names of variables that are to be set where the target keeps secrets.
    """

    cron: str
    timezone: str
    command: Sequence[str]
    variables: dict[str, str]
    settings: dict[str, object]
    corpora: Sequence[str]
    image: str
    triggers: Sequence[str] = ()
    configs: Sequence[str] = ()
    secrets: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse names that are no text, which no target can say."""
        for word in (*self.command, *self.variables.values(), *self.triggers):
            try:
                word.encode()
            except UnicodeEncodeError as error:
                seen = f"{word!r}: must be UTF-8, as what is printed is"
                raise ConfigError("bad_path", seen) from error


def variables_of(root: Path) -> dict[str, str]:
    """Return the variables that a training reads and that hold no secret, with absolute paths.

    Parameters
    ----------
    root : Path
        The home folder.

    Returns
    -------
    dict of str to str
        ``BONAFIDE_HOME``, and of the others those that are set.
    """
    found = {"BONAFIDE_HOME": str(root)}
    for name in PLACES:
        if value := os.environ.get(name):
            path = value.removeprefix("file://")
            found[name] = path if "://" in path else str(Path(path).resolve())
    if keys := os.environ.get(TRUSTED):
        found[TRUSTED] = keys
    return found


def secrets_of() -> list[str]:
    """Return the names of the variables that are set, that a training reads, and may be secret."""
    return sorted(name for name in os.environ if _SECRET.fullmatch(name))


def crontab(job: Job) -> str:
    """Return lines for ``crontab -e``; raise ``bad_path`` for a line end, which cron cannot say."""
    words = ["env", *(f"{name}={value}" for name, value in job.variables.items()), *job.command]
    for word in words:
        if "\n" in word:
            seen = f"{printable(word)}: cron has no way to say the end of a line in a command"
            raise ConfigError("bad_path", f"{seen}; must be without one, or take another target")
    # cron takes % for the end of the line, and \\ and \% each its own way: so that no backslash
    # comes before either, the quotes are closed behind each, and opened again
    quoted = (shlex.quote(word).replace("\\", "\\''").replace("%", r"\%") for word in words)
    return (
        "# Debian's cron knows no CRON_TZ: there, the times are in the machine's own zone.\n"
        f"CRON_TZ={job.timezone}\n{job.cron} {' '.join(quoted)}\n"
    )


def systemd(job: Job) -> str:
    """Return a unit that keeps `bonafide schedule run` alive.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
        ``bad_path`` for a program whose path systemd takes from nobody, however it is quoted.
    """
    program, _, *words = (word for word in job.command if word != "--quiet")
    if re.search("[\x00-\x1f\x7f\"'\\\\]", program):
        seen = f"{printable(program)}: systemd starts no program at such a path"
        raise ConfigError("bad_path", f"{seen}; must be without quotes, backslashes, line ends")
    at = ["--cron", job.cron, "--timezone", job.timezone] if job.cron else []
    given = [each.replace("$", "$$") for each in ("schedule", "run", *at, *job.triggers, *words)]
    variables = (f"{name}={value}" for name, value in job.variables.items())
    return (
        "[Unit]\n"
        "Description=Bonafide retrains by the clock\n"
        "After=network-online.target\n\n"
        "[Service]\n"
        f"Environment={' '.join(map(_quoted, variables))}\n"
        + (f"EnvironmentFile={SECRET_FILE}\n" if job.secrets else "")
        + f"ExecStart={' '.join(map(_quoted, (program, *given)))}\n"
        "Restart=on-failure\n"
        "TimeoutStopSec=90\n\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )


def _quoted(word: str) -> str:
    """Quote a word as systemd.syntax(7) says; % is the beginning of one of its specifiers."""
    said = word.replace("%", "%%")
    if _PLAIN.fullmatch(word):
        return said
    escaped = (
        _ESCAPES.get(sign) or (f"\\x{ord(sign):02x}" if sign < " " or sign == "\x7f" else sign)
        for sign in said
    )
    return f'"{"".join(escaped)}"'


def kubernetes(job: Job) -> str:
    """Return a CronJob; home and corpora are on a volume, at the paths that they have here.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
        ``bad_path`` for a folder that can be mounted nowhere.
    """
    container = {
        "name": "train",
        "image": job.image,
        "command": ["bonafide", *map(_literal, job.command[1:])],
        "env": [{"name": name, "value": _literal(each)} for name, each in job.variables.items()],
        **({"envFrom": [{"secretRef": {"name": SECRET}}]} if job.secrets else {}),
        "volumeMounts": _mounts(job),
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "bonafide"}}
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    cron_job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "bonafide-train"},
        "spec": {
            "schedule": with_sunday_as_0(job.cron),
            "timeZone": job.timezone,
            "concurrencyPolicy": "Forbid",  # one training a home
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
        },
    }
    return str(yaml.safe_dump(cron_job, sort_keys=False))


def _literal(word: str) -> str:
    """Return text in which Kubernetes finds no ``$(VARIABLE)`` to put a value for."""
    return word.replace("$", "$$")


def _mounts(job: Job) -> list[dict[str, object]]:
    """Return where the volume is mounted; what only holds files to read cannot be written to."""
    variables = job.variables.items()
    places = {each for name, each in variables if name not in (TRUSTED, "BONAFIDE_ZENML")}
    folders = {each for each in places if "://" not in each}
    folders |= {str(_folder(path)) for path in job.corpora}
    read = {str(Path(path).parent) for path in job.configs}
    # what lies in another of them is mounted with it
    outer = {each for each in folders if not folders & set(map(str, Path(each).parents))}
    inside = {each for each in read if outer & {each, *map(str, Path(each).parents)}}
    for path in outer | read:
        if path == "/" or ":" in path:
            seen = f"{printable(path)}: Kubernetes mounts nothing at such a path"
            raise ConfigError("bad_path", f"{seen}; must be a folder below / without a colon")
    return [
        {"name": "data", "mountPath": path, "subPath": path.strip("/")}
        | ({} if path in outer else {"readOnly": True})
        for path in sorted(outer | (read - inside))
    ]


def zenml(job: Job) -> str:
    """Return a run's YAML with a schedule, for stacks whose orchestrator takes one; UTC alone."""
    if job.timezone != "UTC":
        seen = f"--timezone {job.timezone}: a schedule of ZenML's is in UTC; must be UTC"
        raise ConfigError("bad_timezone", seen)
    run = {
        "parameters": {"config": job.settings, "corpora": list(job.corpora)},
        "environment": {key: value for key, value in job.variables.items() if "ZENML" not in key},
        **({"secrets": [SECRET]} if job.secrets else {}),
        "schedule": {
            "name": "bonafide",
            "cron_expression": with_sunday_as_0(job.cron),
            "catchup": False,
        },
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
