"""ZenML's own store: opened by one process at a time, and waited for."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, text
from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration
from zenml.enums import StoreType
from zenml.utils import source_utils
from zenml.utils.io_utils import get_global_config_directory
from zenml.zen_stores.sql_zen_store import SQLDatabaseDriver, SqlZenStoreConfiguration

from bonafide.artifact import sha256_of
from bonafide.dependencies import ROOT
from bonafide.errors import ConfigError
from bonafide.process.lock import locked

LOCKED_S = 300
EVERYBODYS = "information_schema"  # a database that every MySQL server has, whoever asks


def prepare_store() -> None:
    """Open ZenML's store, and have its SQLite database waited for.

    Two processes that open a fresh store at one time would both create its tables, and one of them
    would fail; so only one at a time may open it, on this machine, and where the store is a MySQL
    or MariaDB server on any.

    SQLite has no queue: where the disk is slow and many write, a turn may come late. ZenML gives up
    after 60 s, and the step fails before its own code.

    Raises
    ------
    ConfigError
        ``bad_store`` if it cannot be opened: damaged, of a newer ZenML, a server out of reach.
    OSError
        As its files raise it.
    """
    place = Path(get_global_config_directory())
    with locked(place / "bonafide.lock"):
        try:
            with _alone_on_server():
                engine = getattr(Client().zen_store, "engine", None)  # a server's client has none
        except OSError:
            raise
        except Exception as error:  # of SQLAlchemy, Alembic, pydantic, ZenML
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            message = f"ZenML's store, which {place} names, cannot be opened: {said}"
            raise ConfigError("bad_store", message) from error
    if engine is None or engine.dialect.name != "sqlite":
        return
    if not event.contains(engine, "connect", _wait_long):
        event.listen(engine, "connect", _wait_long)
        engine.dispose()  # connections from before


def sql_config() -> SqlZenStoreConfiguration | None:
    """Return how ZenML's store is reached; None if a ZenML server is between."""
    config = GlobalConfiguration().store_configuration
    if config.type != StoreType.SQL:
        return None
    return SqlZenStoreConfiguration.model_validate(config.model_dump())


@contextlib.contextmanager
def _alone_on_server() -> Iterator[None]:
    """Hold a lock of the MySQL server that the store is, if it is one, until the block ends."""
    config = sql_config()
    if config is None or config.driver != SQLDatabaseDriver.MYSQL:
        yield
        return
    url, arguments, _ = config.get_sqlalchemy_config(database=EVERYBODYS)
    engine = create_engine(url, connect_args=arguments)
    config.configure_engine_auth(engine)
    name = {"name": f"bonafide-{sha256_of(str(config.database))[:32]}", "wait": LOCKED_S}
    try:
        with engine.connect() as connection:  # the lock goes with it
            if not connection.execute(text("SELECT GET_LOCK(:name, :wait)"), name).scalar():
                raise ConfigError("busy", f"another process has been at it for {LOCKED_S} s")
            yield
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), name)
    finally:
        engine.dispose()


@contextlib.contextmanager
def own_source() -> Iterator[None]:
    """Have ZenML look for steps here: in a notebook or a script it looks beside that.

    The command line says so by ``ZENML_CUSTOM_SOURCE_ROOT``, which goes first.
    """
    before = source_utils._CUSTOM_SOURCE_ROOT
    source_utils.set_custom_source_root(before or str(ROOT))
    try:
        yield
    finally:
        source_utils.set_custom_source_root(before)


def _wait_long(connection: Any, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout = {1000 * LOCKED_S}")
