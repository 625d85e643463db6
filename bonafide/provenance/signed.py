"""C2PA manifests: what a signer states of a file, and whether the file is still the one signed.

Nothing is fetched: no manifest that lies elsewhere, no list of trusted issuers, no word on whether
a certificate was withdrawn.
"""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, BinaryIO

from bonafide.audio.view import find, read_at, size_of
from bonafide.provenance.finding import NO_PACKAGE, Finding, NotLookedFor, finding
from bonafide.provenance.quoted import quoted

# The type of the box that every manifest store lies in (ISO 19566-5; C2PA, section 11.1).
STORE = bytes.fromhex("63327061 00110010 800000AA00389B71")
CUT_BYTES = 4 + 4 + 4 + len(STORE) - 1  # "jumb", a size, "jumd", and not the whole type
OFFLINE = {
    "verify": {
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
        "verify_trust": False,
        "verify_timestamp_trust": False,
    },
    "core": {"allowed_network_hosts": [], "decode_identity_assertions": False},
}
GENERATED = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")
MAX_STATED = 5
_NO_LIBRARY = NO_PACKAGE.format("c2pa-python", "pip install 'bonafide[provenance]'")
_REMOTE = re.compile(r"must fetch remote manifests from url (\S+)")


def manifests(file: BinaryIO, unread: str = "") -> tuple[list[Finding], list[NotLookedFor]]:
    """Look for a C2PA manifest in a file.

    Parameters
    ----------
    file : binary file
        Left open.
    unread : str
        Why the library is not to read it; empty if it is.

    Returns
    -------
    list of Finding
        What was found.
    list of NotLookedFor
        One, where the library is missing or is not to read the file.
    """
    place = find(file, 0, size_of(file), (STORE,))
    is_there = place < size_of(file)
    why = unread or (_NO_LIBRARY if find_spec("c2pa") is None else "")
    missing = [NotLookedFor("c2pa", why)] if why else []
    if not is_there and (cut := _cut_off(file)) is not None:
        seen = f"The bytes of a manifest begin at byte {cut}, and the file ends right behind."
        return [finding("c2pa_damaged", seen)], missing
    if why:
        return [_unread(place, why)] if is_there else [], missing
    return _read(file, place if is_there else None), []


def _cut_off(file: BinaryIO) -> int | None:
    """Return where a manifest begins of which the file ends before its type does."""
    start = max(0, size_of(file) - CUT_BYTES)
    tail = read_at(file, start, CUT_BYTES)
    place = tail.rfind(b"jumb")
    box = tail[max(0, place) :]
    if place >= 0 and b"jumd".startswith(box[8:12]) and STORE.startswith(box[12:]):
        return start + place
    place = tail.rfind(b"C2PA")  # the chunk of RIFF that the box is in
    is_chunk = place >= 0 and read_at(file, 0, 4) in (b"RIFF", b"RF64")
    return start + place if is_chunk and b"jumb".startswith(tail[place + 12 :]) else None


def _read(file: BinaryIO, place: int | None) -> list[Finding]:
    """Have the library read a file; `place` is where the bytes of a manifest are."""
    from c2pa import C2paError, Context, Reader

    file.seek(0)
    try:
        with Context.from_dict(OFFLINE) as context, Reader(None, file, context=context) as reader:
            return list(_stated(json.loads(reader.json())))
    except C2paError.ManifestNotFound:
        return [] if place is None else [_unread(place, "the library finds none")]
    except C2paError.NotSupported:
        return [] if place is None else [_unread(place, "the library reads none in this format")]
    except C2paError as error:
        if remote := _REMOTE.search(str(error)):
            seen = f"It names {quoted(remote[1])}, which was not fetched."
            return [finding("c2pa_elsewhere", seen)]
        if place is None:
            return []
        seen = f"The bytes of a manifest begin at byte {place}, and it cannot be read"
        return [finding("c2pa_damaged", f"{seen}: {quoted(str(error))}.")]


def _unread(place: int, why: str) -> Finding:
    return finding("c2pa_unread", f"The bytes of a manifest begin at byte {place}; {why}.")


def _stated(store: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what the active manifest of a store states, and whether it fits."""
    manifest = store["manifests"][store["active_manifest"]]
    failures = store.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    codes = sorted({str(failure["code"]) for failure in failures})
    others = len(store["manifests"]) - 1
    fits = "the file is as it was signed" if not codes else f"it does not hold: {', '.join(codes)}"
    sentences = [_signer(manifest), _generator(manifest), *_actions(manifest)]
    if others:
        sentences.append(f"It names {others} earlier manifest{'s' * (others > 1)}")
    yield finding("c2pa_manifest", f"{'. '.join(sentences)}; {fits}.")
    if kinds := sorted(set(_source_types(manifest)) & set(GENERATED)):
        yield finding("c2pa_generated", f"The manifest states the source {', '.join(kinds)}.")
    if codes:
        seen = f"The library that verifies it says {', '.join(codes)}."
        yield finding("c2pa_mismatch", seen)


def _signer(manifest: Mapping[str, Any]) -> str:
    info = manifest.get("signature_info") or {}
    names = [quoted(str(info[key])) for key in ("common_name", "issuer") if info.get(key)]
    when = f" at {quoted(str(info['time']))}" if info.get("time") else ""
    return f"Signed with a certificate of {' of '.join(names) or 'no name'}{when}"


def _generator(manifest: Mapping[str, Any]) -> str:
    found = manifest.get("claim_generator_info") or []
    names = [f"{each.get('name', '')} {each.get('version', '')}".strip() for each in found]
    names = names or [str(manifest.get("claim_generator", ""))]
    return f"Made by the program {', '.join(map(quoted, names[:MAX_STATED]))}"


def _all_actions(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            yield from assertion.get("data", {}).get("actions", [])


def _source_types(manifest: Mapping[str, Any]) -> Iterator[str]:
    for action in _all_actions(manifest):
        if source := action.get("digitalSourceType"):
            yield str(source).rpartition("/")[2]


def _actions(manifest: Mapping[str, Any]) -> list[str]:
    """Return the actions that a manifest lists, as one sentence; none if it lists none."""
    said = []
    for action in _all_actions(manifest):
        source = str(action.get("digitalSourceType", "")).rpartition("/")[2]
        name = quoted(str(action.get("action", "")))
        said.append(f"{name} with source {quoted(source)}" if source else name)
    more = [f"{len(said) - MAX_STATED} more"] if len(said) > MAX_STATED else []
    return [f"It states {', '.join([*said[:MAX_STATED], *more])}"] if said else []
