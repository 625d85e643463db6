"""Which extra a missing module belongs to, so that one sentence says what to install."""

from importlib.util import find_spec

from bonafide.errors import ConfigError, missing_extra

# Import names of the packages that pyproject.toml lists; a test compares the two.
EXTRAS = {
    "train": (
        *("apprise", "apscheduler", "keras", "librosa", "matplotlib"),
        *("onnx", "onnxmltools", "optuna"),
        *("pyarrow", "scipy", "skl2onnx", "sklearn", "tensorflow", "tf2onnx", "xgboost"),
        *("sqlalchemy", "yaml", "zenml"),
    ),
    "app": ("PIL", "altair", "streamlit"),
    "dashboard": ("fastapi", "zenml"),
    "provenance": ("c2pa",),
    "report": ("weasyprint",),
    "mcp": ("mcp",),
}


def not_installed(module: str | None) -> ConfigError | None:
    """Return the error for a module that could not be imported.

    Parameters
    ----------
    module : str or None
        As `ModuleNotFoundError.name` has it, such as ``scipy.signal``.

    Returns
    -------
    ConfigError or None
        ``not_installed``, naming the extra; None for a module that no extra brings.

    Examples
    --------
    >>> print(not_installed("scipy.signal"))
    scipy is missing: pip install 'bonafide[train]'
    """
    name = (module or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if name in modules:
            return missing_extra(name, extra)
    return None


def require(*modules: str) -> None:
    """Check, before long work starts, that modules of an extra are installed.

    Parameters
    ----------
    *modules : str
        Their import names.

    Raises
    ------
    ConfigError
        ``not_installed`` for the first that is missing.
    """
    for module in modules:
        missing = not_installed(module)
        if missing is not None and find_spec(module) is None:
            raise missing
