"""When a finished step may stand in for a new one."""

from zenml.config.cache_policy import CachePolicy

EVERYWHERE = ("errors", "features.spec")


def reuse_unless_changed(*modules: str) -> CachePolicy:
    """Reuse a result while parameters, inputs' content, the step and these modules stay the same.

    ZenML looks at a step's own code alone; what the step calls is named here, by file, since what
    runs in a process of its own (the networks) must not be imported to be looked at.

    Parameters
    ----------
    modules : str
        Dotted names below ``bonafide``, such as ``training.networks``.
    """
    return CachePolicy(
        include_artifact_ids=False,
        file_dependencies=[
            f"bonafide/{name.replace('.', '/')}.py" for name in (*EVERYWHERE, *modules)
        ],
    )
