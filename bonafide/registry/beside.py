"""Bundles beside the one in production: the shadow listens, the canary answers some clients.

Both are switched in the journal, where running services follow them; what is in production stays.
"""

import re
from decimal import Decimal

from bonafide.bundle import Bundle
from bonafide.errors import ConfigError, RegistryError
from bonafide.registry.journal import Action, Entry, Role, State, Version
from bonafide.registry.registry import Registry, held
from bonafide.registry.trust import require_trusted

_SHARE = re.compile(r"(.+):([0-9]+(?:\.[0-9]+)?)%", re.DOTALL)


def split_share(text: str) -> tuple[str, float]:
    """Return the bundle and the share of ``REF:SHARE%``.

    Parameters
    ----------
    text : str
        As a user types it.

    Returns
    -------
    ref : str
        As `Registry.folder` takes it.
    share : float
        Above 0 and below 1.

    Raises
    ------
    ConfigError
        ``bad_share`` for any other text.

    Examples
    --------
    >>> split_share("mine:3:5%")
    ('mine:3', 0.05)
    """
    found = _SHARE.fullmatch(text)
    if found and 0 < (share := float(Decimal(found[2]) / 100)) < 1:
        return found[1], share
    raise ConfigError(
        "bad_share",
        f"{text!r}: must be REF:SHARE%, such as mine:3:5%, of a share above 0 % and below 100 %",
    )


def percent(share: float) -> str:
    """Return a share as it is typed.

    Parameters
    ----------
    share : float
        From 0 to 1.

    Returns
    -------
    str

    Examples
    --------
    >>> percent(0.07)
    '7%'
    >>> percent(0.999999999)
    '99.9999999%'
    """
    return f"{(100 * Decimal(repr(float(share)))).normalize():f}%"


def begin(
    registry: Registry, role: Role, bundle: Bundle, *, share: float = 0.0, why: str = ""
) -> Entry | None:
    """Make a kept bundle the shadow or the canary, in place of one that is.

    Parameters
    ----------
    registry : Registry
        Its services follow.
    role : str
        ``shadow`` or ``canary``.
    bundle : Bundle
        One of the registry's, as read.
    share : float
        Of a canary: the share of clients that it answers, above 0 and below 1; else 0.
    why : str
        What the journal says of it.

    Returns
    -------
    Entry or None
        None if it is that already, with this share.

    Raises
    ------
    RegistryError
        ``not_kept`` if it is none of the registry's, ``in_production`` if it answers already,
        ``held`` for a canary that is held.
    BundleError
        As in `bonafide.registry.trust.require_trusted`.
    """
    require_trusted(bundle)
    registry.require_kept(bundle)
    version = Version.of(bundle)

    def decide(state: State) -> Entry | None:
        now, one = state.production, state.beside.get(role)
        if version == now:
            raise RegistryError("in_production", f"{version}: is in production; name another")
        if role == "canary" and version in state.holds:
            raise held(version, state.holds[version])
        if one is not None and (one.bundle, one.share) == (version, share):
            return None
        return Entry(state.number + 1, role, version, now, now, why, share=share)

    return registry.append(decide)


def end(registry: Registry, role: Role, *, why: str = "", returned: int = 0) -> Entry | None:
    """Have no shadow or no canary any more.

    Parameters
    ----------
    registry : Registry
        Its services follow.
    role : str
        ``shadow`` or ``canary``.
    why : str
        What the journal says of it.
    returned : int
        Of a canary that a service stopped: the number of the entry that began it, since another
        one may have begun meanwhile; 0 where a person ends it.

    Returns
    -------
    Entry or None
        None if there is none, or another one than the one that returned.
    """
    off: Action = "no_shadow" if role == "shadow" else "no_canary"
    action: Action = "returned" if returned else off

    def decide(state: State) -> Entry | None:
        one = state.beside.get(role)
        if one is None or returned not in (0, one.number):
            return None
        now = state.production
        return Entry(state.number + 1, action, one.bundle, now, now, why)

    return registry.append(decide)
