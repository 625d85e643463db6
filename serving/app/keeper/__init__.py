"""Pages for who keeps a detector: what this machine's home knows of it."""

from collections.abc import Callable

from bonafide.errors import BonafideError
from serving.app.allowed import Allowed
from serving.app.failure import show_refusal
from serving.app.keeper.drift import show_drift
from serving.app.keeper.lineage import show_lineage
from serving.app.keeper.models import show_models
from serving.app.keeper.runs import show_runs
from serving.app.language import Words

KEEPER: dict[str, Callable[[Words, Allowed], None]] = {
    "models": show_models,
    "lineage": lambda words, _: show_lineage(words),
    "drift": lambda words, _: show_drift(words),
    "runs": lambda words, _: show_runs(words),
}


def show_keeper(name: str, words: Words, allowed: Allowed) -> None:
    """Show one of these pages, or the error that keeps it from being shown."""
    try:
        KEEPER[name](words, allowed)
    except BonafideError as error:
        show_refusal(f"{words('models.refused')} {words.foreign(error.message)}", error)
