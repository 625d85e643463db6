"""Who signed a bundle, and whose bundles are loaded.

A signature is that of minisign over ``manifest.json``, which holds the SHA-256 of every other file,
those of lineage among them; it lies beside it and counts into no hash. Where keys are trusted, only
what one of them signed is loaded, but for what ships with the package, like its code.
"""

import json
import os
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bonafide.bundle import MANIFEST, SIGNATURE, Bundle, read_bundle
from bonafide.errors import BundleError, ConfigError
from bonafide.home import shipped_bundles

if TYPE_CHECKING:
    from minisign import PublicKey

VARIABLE = "BONAFIDE_TRUSTED_KEYS"


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle to score with: its hashes hold and, where keys are trusted, one signed it.

    Parameters
    ----------
    folder : Path
        The bundle's folder.

    Returns
    -------
    Bundle

    Raises
    ------
    BundleError
        As in `read_bundle` and `require_signed`.
    ConfigError
        As in `trusted_keys`.
    """
    bundle = read_bundle(folder)
    require_trusted(bundle)
    return bundle


def require_trusted(bundle: Bundle) -> None:
    """Require that a trusted key signed a bundle; where none is named, or for what ships, nothing.

    Parameters
    ----------
    bundle : Bundle
        As `read_bundle` returns it.

    Raises
    ------
    BundleError
        As in `require_signed`.
    ConfigError
        As in `trusted_keys`.
    """
    if keys := trusted_keys():
        shipped = {each["sha256"] for each in shipped_bundles()}
        if bundle.digest() not in shipped:  # a rollback to it keeps a copy
            require_signed(bundle, keys)


def trusted_keys() -> "list[PublicKey]":
    """Return the keys that ``$BONAFIDE_TRUSTED_KEYS`` names, separated by commas.

    Returns
    -------
    list of PublicKey
        Empty where it is not set: then nothing has to be signed.

    Raises
    ------
    ConfigError
        ``bad_key`` for a text that is no public key.
    """
    if not (named := os.environ.get(VARIABLE, "").strip()):
        return []
    return [public_key(text.strip(), VARIABLE) for text in named.split(",")]


def public_key(text: str, named: str = "--key") -> "PublicKey":
    """Read a public key of minisign.

    Parameters
    ----------
    text : str
        The key, 56 characters that begin with ``RW``, or a file with it (``minisign.pub``).
    named : str
        Where it stands, for the message.

    Returns
    -------
    PublicKey

    Raises
    ------
    ConfigError
        ``bad_key`` if it is none.
    """
    from minisign import Error, PublicKey

    try:
        path = Path(text)
        return PublicKey.from_file(path) if path.is_file() else PublicKey.from_base64(text)
    except (Error, ValueError, OSError) as error:
        raise ConfigError(
            "bad_key",
            f"{named}: {text!r} is no public key of minisign, which begins with RW, and no file "
            f"with one ({error})",
        ) from error


def require_signed(bundle: Bundle, keys: "Sequence[PublicKey]") -> str:
    """Require that one of some keys signed a bundle.

    Parameters
    ----------
    bundle : Bundle
        Its hashes verified.
    keys : sequence of PublicKey
        At least one.

    Returns
    -------
    str
        The signature's trusted comment, which is signed too.

    Raises
    ------
    BundleError
        ``unsigned`` without a signature, ``wrong_key`` for one by another key, ``altered`` for one
        that does not hold of this manifest.
    """
    from minisign import Error, Signature

    path = bundle.folder / SIGNATURE
    if not path.is_file():
        raise BundleError(
            "unsigned",
            f"{bundle.folder}: nobody signed it ({SIGNATURE} is missing), and only what "
            f"{_named(keys)} signed is trusted (bonafide models sign)",
        )
    content = path.read_bytes()
    try:
        signature = Signature.from_bytes(content)
        signer = next(k for k in keys if _key_id(k.to_base64()) == _key_id(content.splitlines()[1]))
        manifest = (bundle.folder / MANIFEST).read_bytes()
        signer.verify(manifest, signature)
    except StopIteration:
        raise BundleError("wrong_key", f"{path}: not by {_named(keys)}") from None
    except (Error, ValueError, IndexError) as error:
        raise BundleError("altered", f"{path}: does not hold of {MANIFEST}: {error}") from error
    if {**bundle.manifest, **json.loads(manifest)} != bundle.manifest:
        raise BundleError("altered", f"{bundle.folder / MANIFEST}: changed while it was read")
    return signature.trusted_comment


def _key_id(text: bytes) -> bytes:
    """Return the key's number in a key or signature: 8 bytes after 2 of the algorithm."""
    return b64decode(text)[2:10]


def _named(keys: "Sequence[PublicKey]") -> str:
    return " or ".join(key.to_base64().decode() for key in keys)


def sign(bundle: Bundle, key: Path, ask: Callable[[], str]) -> bytes:
    """Return a signature of a bundle, as minisign writes it.

    Parameters
    ----------
    bundle : Bundle
        Its hashes verified.
    key : Path
        The secret key, as ``minisign -G`` made it.
    ask : callable
        Returns the key's password; not called for a key without one.

    Returns
    -------
    bytes
        The content of the signature's file.

    Raises
    ------
    ConfigError
        ``bad_key`` for a file that is no secret key, or another password.
    """
    from minisign import Error, SecretKey

    try:
        secret = SecretKey.from_file(key)
        if secret.is_encrypted():
            secret.decrypt(ask())
    except (Error, ValueError, OSError) as error:
        raise ConfigError("bad_key", f"{key}: no secret key of minisign: {error}") from error
    comment = "{name}:{version} {sha256}".format(**bundle.identity)
    manifest = (bundle.folder / MANIFEST).read_bytes()
    signature = secret.sign(manifest, trusted_comment=f"bonafide bundle {comment}")
    secret.wipe()
    return bytes(signature) + b"\n"
