"""ZenML's own page of the runs in the active store, on this machine alone."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration
from zenml.models import UserUpdate
from zenml.zen_stores.sql_zen_store import SqlZenStoreConfiguration

from bonafide.errors import BonafideError, ConfigError
from bonafide.process.service import LOOPBACK, running_service
from pipelines.store import prepare_store, sql_config

# Of ZenML's configuration of a database: where it is, and as whom to ask.
REACHED_BY = (
    *("url", "database", "username", "password", "auth_mode", "aws_region", "aws_rds_iam_role_arn"),
    *("ssl", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_server_cert"),
)


def run_dashboard(port: int | None, opened: Callable[[str], None]) -> None:
    """Serve the dashboard until it ends, is interrupted, or SIGTERM ends this process.

    It asks for no account, so it answers this machine alone, and no page but its own.

    Parameters
    ----------
    port : int or None
        None for one that is free.
    opened : callable
        Called with its address once it answers.

    Raises
    ------
    ConfigError
        ``no_dashboard`` if the store is a ZenML server's, which has its own.
    StartError
        ``no_service`` if it does not start.
    BonafideError
        ``ended`` if it ends by itself.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what is running is ended
    prepare_store()
    config = sql_config()
    if config is None:
        where = Client().zen_store.url
        message = f"the active ZenML store is {where}: open the dashboard of that server"
        raise ConfigError("no_dashboard", message)
    _answer_form()
    stores = str(GlobalConfiguration().local_stores_path)
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(Path(folder), config, stores)
        log = Path(folder) / "log"
        command = (sys.executable, "-m", "pipelines.dashboard")
        with running_service(
            port=port, command=command, environment=environment, log=log
        ) as service:
            opened(service.url)
            status = service.process.wait()
            said = log.read_text(errors="replace").strip()[-3000:] or "nothing"
    raise BonafideError("ended", f"the dashboard ended with status {status}; it printed: {said}")


def _answer_form() -> None:
    """Answer what the dashboard asks of a new account: it wants no mails, and no survey."""
    user = Client().active_user
    if user.email_opted_in is None:
        said = {**user.user_metadata, "finished_onboarding_survey": True}
        answer = UserUpdate(email_opted_in=False, user_metadata=said)
        Client().zen_store.update_user(user.id, answer)


def _environment(folder: Path, config: SqlZenStoreConfiguration, stores: str) -> dict[str, str]:
    """Return the environment of a server that needs no account: as `zenml login --local` has it."""
    found = {name: getattr(config, name) for name in REACHED_BY}
    plain = {n: v.get_secret_value() if isinstance(v, SecretStr) else v for n, v in found.items()}
    return {
        **os.environ,
        "ZENML_SERVER": "true",
        "ZENML_SERVER_AUTH_SCHEME": "NO_AUTH",
        "ZENML_SERVER_AUTO_ACTIVATE": "true",
        "ZENML_SERVER_DEPLOYMENT_TYPE": "local",
        "ZENML_SERVER_ALLOW_LOCAL_FILE_ACCESS": "true",
        "ZENML_CONFIG_PATH": str(folder / "zenml"),  # the user's own stays as it is
        "ZENML_LOCAL_STORES_PATH": stores,
        "ZENML_STORE_TYPE": "sql",
        **{f"ZENML_STORE_{name.upper()}": str(v) for name, v in plain.items() if v is not None},
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_DISABLE_DATABASE_MIGRATION": "true",
    }


def own_pages_alone(app: Any, port: int) -> Any:
    """Wrap an ASGI app: no page of another site gets an answer.

    There is no account to ask for, so any page that a browser on this machine shows could act.
    """

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        asked = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        hosts = [f"{name}:{port}" for name in (LOOPBACK, "localhost")]
        origin = asked.get(b"origin")
        known = origin is None or origin in [f"http://{host}" for host in hosts]
        if scope["type"] == "lifespan" or (known and asked.get(b"host") in hosts):
            await app(scope, receive, send)
            return
        start = {"type": "http.response.start", "status": 403, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": b"only for pages of this address\n"})

    return guarded


def main() -> None:
    """Serve on the port that the command line names."""
    import uvicorn
    from zenml.zen_server.zen_server_api import app

    port = int(sys.argv[sys.argv.index("--port") + 1])
    guarded = own_pages_alone(app, port)
    uvicorn.run(guarded, host=LOOPBACK, port=port, log_level="warning", ws="none")


if __name__ == "__main__":
    main()
