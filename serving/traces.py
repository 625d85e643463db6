"""Whether and where traces are sent: what OpenTelemetry's variables say, for BentoML."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from bonafide.errors import ConfigError, missing_extra

# The first that is not empty counts; the traces' own, as OpenTelemetry has it.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXPORTER = "opentelemetry.exporter.otlp.proto.http"


def receiver(environment: Mapping[str, str]) -> str:
    """Return the URL that traces go to; empty where they are off.

    Parameters
    ----------
    environment : mapping of str to str
        Read are ``OTEL_EXPORTER_OTLP_ENDPOINT`` (with ``/v1/traces`` added) or
        ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` (as it is), and what switches traces off again:
        ``OTEL_SDK_DISABLED=true`` and ``OTEL_TRACES_EXPORTER=none``.

    Returns
    -------
    str

    Raises
    ------
    ConfigError
        ``bad_setting`` for a value that is none of those allowed.

    Examples
    --------
    >>> receiver({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"})
    'http://localhost:4318/v1/traces'
    """
    own, common = (environment.get(name, "") for name in ENDPOINTS)
    url = own or (common and common.rstrip("/") + "/v1/traces")
    exporter = _one_of(environment, ("OTEL_TRACES_EXPORTER",), ("otlp", "none"))
    if not url or exporter == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ConfigError(
            "bad_setting",
            f"{ENDPOINTS[0 if own else 1]}={own or common!r}: must be a URL such as "
            "http://localhost:4318",
        )
    return url


def tracing(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what BentoML's configuration has to say of traces.

    Parameters
    ----------
    environment : mapping of str to str
        What `receiver` reads, the protocol (``http/protobuf`` alone) and the sampler:
        ``parentbased_always_on``, or ``parentbased_traceidratio`` with its share in
        ``OTEL_TRACES_SAMPLER_ARG``. Headers, certificates and the like are read by the exporter.

    Returns
    -------
    dict
        BentoML's section ``tracing``; empty where traces are off.

    Raises
    ------
    ConfigError
        ``bad_setting``; ``not_installed`` without the extra ``traces``.
    """
    url = receiver(environment)
    if not url:
        return {}
    _one_of(environment, PROTOCOLS, ("http/protobuf",))
    if not _is_installed(EXPORTER):
        raise missing_extra(EXPORTER, "traces")
    return {
        "exporter_type": "otlp",
        "sample_rate": _share(environment),
        "otlp": {"protocol": "http", "endpoint": url},
    }


def _one_of(
    environment: Mapping[str, str], names: tuple[str, ...], allowed: tuple[str, ...]
) -> str:
    """Return what the first of the variables that is set says, else what is allowed first."""
    for name in names:
        if text := environment.get(name, ""):
            if text not in allowed:
                message = f"{name}={text!r}: must be {' or '.join(allowed)}"
                raise ConfigError("bad_setting", message)
            return text
    return allowed[0]


def _share(environment: Mapping[str, str]) -> float:
    """Return which share of the requests is traced where the caller does not decide."""
    ratio = "parentbased_traceidratio"
    sampler = _one_of(environment, ("OTEL_TRACES_SAMPLER",), ("parentbased_always_on", ratio))
    text = environment.get("OTEL_TRACES_SAMPLER_ARG", "") if sampler == ratio else ""
    try:
        share = float(text or 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        message = f"OTEL_TRACES_SAMPLER_ARG={text!r}: must be a number from 0 to 1"
        raise ConfigError("bad_setting", message)
    return share


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it lies in
        return False
