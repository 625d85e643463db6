"""Telling people how a scheduled run ended: e-mail, webhooks, chats, by Apprise."""

from collections.abc import Callable, Sequence

from apprise import Apprise, NotifyType

from bonafide.errors import ConfigError
from bonafide.history import Entry
from bonafide.training.schedule.drift import DRIFT

KINDS = {
    "ok": NotifyType.SUCCESS,
    "refused": NotifyType.WARNING,
    "skipped": NotifyType.WARNING,
}


class Notices:
    """Sends one notice to every address.

    Parameters
    ----------
    urls : sequence of str
        As Apprise takes them: ``mailto://``, ``jsons://``, ``slack://`` and many more. They may
        hold passwords, and are never printed whole.
    say : callable
        Called with a line for what could not be sent.

    Raises
    ------
    ConfigError
        ``bad_notify`` for a URL that Apprise does not know.
    """

    def __init__(self, urls: Sequence[str], say: Callable[[str], None]) -> None:
        self._say, self._addresses = say, list[Apprise]()
        for url in urls:
            address = Apprise()
            if not address.add(url):
                raise ConfigError(
                    "bad_notify",
                    f"--notify {url.partition('://')[0]}://...: no address that Apprise knows; "
                    "must be one such as mailto://USER:PASSWORD@HOST or jsons://HOST/PATH",
                )
            self._addresses.append(address)

    def tell(self, run: Entry) -> None:
        """Send how a run ended.

        Parameters
        ----------
        run : dict
            As the history has it.
        """
        title = f"bonafide: training {run['status']}"
        if run["why"].startswith(DRIFT):
            title = f"bonafide: drift, training {run['status']}"
        facts = [f"{name}: {run[name]}" for name in ("version", "why", "started", "log")]
        if run.get("eer"):
            facts.insert(1, "EER: {value:.1%} [{low:.1%}, {high:.1%}]".format(**run["eer"]))
        body = "\n".join([*filter(None, [run.get("reason")]), *facts])
        for address in self._addresses:
            kind = KINDS.get(run["status"], NotifyType.FAILURE)
            if not address.notify(title=title, body=body, notify_type=kind):
                (service,) = address
                self._say(f"no notice to {service.url(privacy=True)}: it could not be sent")
