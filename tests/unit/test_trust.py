"""Signatures, bills of materials and cards of bundles: what others need to trust them."""

import json
import shutil
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard
from minisign import KeyPair

from bonafide.bundle import MANIFEST, SIGNATURE, Bundle, read_bundle, write_bundle
from bonafide.cli import main
from bonafide.detector import Detector
from bonafide.errors import BonafideError
from bonafide.home import SHIPPED, SHIPPED_NAMES
from bonafide.registry import Registry, Version, keep, registry_of
from bonafide.registry.trust import (
    VARIABLE,
    public_key,
    require_signed,
    require_trusted,
    sign,
)
from tests.helpers.lineages import candidate_of, files_of, keep_with_lineage

Say = Callable[..., tuple[int, str]]
BY_MINISIGN = (
    "untrusted comment: signature from minisign secret key",
    "RURk+PrYwWfdsWzAYMDWgiZKBaHADgUQQs7t3nOXUlN5D+pKotGEEkYQeslZ"
    "wkY9K8AEuGynmdYo/mTLiTa7zBvbozm/0Oo8aA8=",
    "trusted comment: signed by the program",
    "XePE1CVq6Y4/FqV6TYEHTvNHswbbgBw9WQQGR2XQLq9grhRwfSEQPE3dvQM3nIonL+VjzavStkoVjLB89ZLEAA==",
)


def key_pair(folder: Path, name: str, password: str = "") -> tuple[Path, str]:
    """Write a secret key as `minisign -G` does; return its file and the public key's text."""
    pair = KeyPair.generate()
    if password:
        pair.secret_key.encrypt(password, opslimit=2**15, memlimit=2**22)
    path = folder / f"{name}.key"
    path.write_bytes(bytes(pair.secret_key) + b"\n")
    (folder / f"{name}.pub").write_bytes(bytes(pair.public_key) + b"\n")
    return path, pair.public_key.to_base64().decode()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path / "home"


@pytest.fixture
def say(root: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*words: str | Path) -> tuple[int, str]:
        status = main(["models", *map(str, words)])
        out, error = capsys.readouterr()
        return status, out + error

    return run


@pytest.fixture
def bundle(root: Path, tmp_path: Path) -> Bundle:
    return keep_with_lineage(root, tmp_path / "made", files_of(tmp_path / "corpus", 6))


def code(act: Callable[[], object]) -> str:
    with pytest.raises(BonafideError) as caught:
        act()
    return caught.value.code


def test_signed_and_verified_and_no_hash_changes(say: Say, bundle: Bundle, tmp_path: Path) -> None:
    key, public = key_pair(tmp_path, "mine")
    before = {path: path.read_bytes() for path in bundle.folder.iterdir()}
    assert say("verify", "mine:1", "--key", public)[1].startswith("bonafide: unsigned: ")
    assert say("sign", "mine:1", "--key", key) == (0, "mine:1: signed\n")
    signed = "mine:1: verified, signed as: bonafide bundle mine:1 " + bundle.digest() + "\n"
    assert say("verify", "mine:1", "--key", public) == (0, signed)
    assert say("verify", "mine:1", "--key", tmp_path / "mine.pub") == (0, signed)
    assert read_bundle(bundle.folder) == bundle
    assert all(path.read_bytes() == content for path, content in before.items())
    _, other = key_pair(tmp_path, "other")
    assert say("verify", "mine:1", "--key", other)[1].startswith("bonafide: wrong_key: ")
    assert say("verify", "mine:1", "--key", "RWnone")[1].startswith("bonafide: bad_key: --key: ")
    assert say("sign", "mine:1", "--key", tmp_path / "mine.pub")[1].startswith("bonafide: bad_key")
    assert say("verify", "mine:1")[0] == 2


def test_what_the_program_minisign_signed(tmp_path: Path) -> None:
    """Made by minisign 0.11, with a key that is gone."""
    (tmp_path / MANIFEST).write_text('{"by": "minisign 0.11"}\n')
    (tmp_path / SIGNATURE).write_text("\n".join(BY_MINISIGN) + "\n")
    key = public_key("RWRk+PrYwWfdsZw5XdaCU4IhgUqILtZfnY2W+8qtkCpQ33HSWuQKrVsC")
    bundle = Bundle(tmp_path, {"by": "minisign 0.11"})
    assert require_signed(bundle, [key]) == "signed by the program"
    (tmp_path / MANIFEST).write_text('{"by": "nobody"}\n')
    assert code(lambda: require_signed(bundle, [key])) == "altered"


def test_a_signature_is_what_minisign_documents(bundle: Bundle, tmp_path: Path) -> None:
    """https://jedisct1.github.io/minisign/: as its program reads it, by another implementation."""
    key, public = key_pair(tmp_path, "mine")
    untrusted, signature, trusted, whole = sign(bundle, key, str).decode().splitlines()
    assert untrusted.startswith("untrusted comment: ")
    comment = trusted.removeprefix("trusted comment: ")
    known, raw = b64decode(public), b64decode(signature)
    assert (known[:2], raw[:2], raw[2:10]) == (b"Ed", b"ED", known[2:10])
    verifier = Ed25519PublicKey.from_public_bytes(known[10:])
    verifier.verify(raw[10:], blake2b((bundle.folder / MANIFEST).read_bytes()).digest())
    verifier.verify(b64decode(whole), raw[10:] + comment.encode())


def test_a_key_with_a_password(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, public = key_pair(tmp_path, "mine", "secret")
    assert code(lambda: sign(bundle, key, lambda: "another")) == "bad_key"
    (bundle.folder / SIGNATURE).write_bytes(sign(bundle, key, lambda: "secret"))
    monkeypatch.setenv(VARIABLE, public)
    require_trusted(bundle)


class TestWhereKeysAreTrusted:
    """Every way to score with a bundle goes through the one place that loads them."""

    @pytest.fixture
    def signed(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> tuple[Bundle, Path]:
        """One that scores, signed by the second of two trusted keys."""
        shipped = read_bundle(SHIPPED.with_name("fast"))
        kept = keep(root, shipped, {"note": "mine"}, "a card\n")
        key, public = key_pair(tmp_path, "mine")
        _, other = key_pair(tmp_path, "other")
        registry_of(root).versions.sign(kept, sign(kept, key, str))
        registry_of(root).promote(kept, override="a test")
        monkeypatch.setenv(VARIABLE, f"{other}, {public}")
        return kept, key

    def test_what_one_of_them_signed_is_loaded(
        self, signed: tuple[Bundle, Path], root: Path
    ) -> None:
        kept, _ = signed
        assert Detector(kept.folder).bundle == Detector().bundle == kept
        assert registry_of(root).find("fast:1") == kept

    @pytest.mark.parametrize("seen", ["unsigned", "wrong_key", "altered", "altered text"])
    def test_other_bundles_are_not(
        self, signed: tuple[Bundle, Path], root: Path, tmp_path: Path, seen: str
    ) -> None:
        kept, _ = signed
        if seen == "unsigned":
            (kept.folder / SIGNATURE).unlink()
        elif seen == "wrong_key":
            (kept.folder / SIGNATURE).write_bytes(sign(kept, key_pair(tmp_path, "x")[0], str))
        elif seen == "altered":  # by somebody who works out every hash anew
            content = (kept.folder / SIGNATURE).read_bytes()
            (kept.folder / "lineage.json").write_text("{}")
            write_bundle(kept.folder, {**kept.manifest, "created": "2000-01-01"})
            (kept.folder / SIGNATURE).write_bytes(content)
        else:
            (kept.folder / SIGNATURE).write_text("signed, believe me\n")
        wanted = seen.partition(" ")[0]
        registry = registry_of(root)
        assert code(lambda: Detector(kept.folder)) == wanted
        assert code(registry.find) == code(lambda: registry.find("fast:1")) == wanted
        unpromoted = Registry(tmp_path / "elsewhere", root)
        there = registry.copy_to(unpromoted, registry.read("fast:1"))
        assert code(lambda: unpromoted.promote(there, override="a test")) == wanted
        assert main(["score", str(kept.folder), "--bundle", "fast:1"]) == 2

    def test_the_way_back_leads_to_what_is_trusted_alone(
        self, signed: tuple[Bundle, Path], root: Path
    ) -> None:
        kept, key = signed
        made = keep(root, kept, {"note": "new"}, "a card\n")
        registry = registry_of(root)
        registry.versions.sign(made, sign(made, key, str))
        registry.promote(made, override="a test")
        (kept.folder / SIGNATURE).unlink()
        for ref in (None, "fast:1"):
            assert code(lambda ref=ref: registry.rollback(ref)) == "unsigned"
        assert registry.production() == Version.of(made)

    def test_what_ships_is_trusted_where_it_is_kept_too(
        self, signed: tuple[Bundle, Path], root: Path
    ) -> None:
        registry = registry_of(root)
        registry.rollback()
        assert registry.find().digest() == read_bundle(SHIPPED).digest()

    def test_what_was_read_is_what_was_signed(self, signed: tuple[Bundle, Path]) -> None:
        kept, _ = signed
        require_trusted(kept)
        swapped = replace(kept, manifest={**kept.manifest, "prior_spoof": 0.1})
        assert code(lambda: require_trusted(swapped)) == "altered"

    def test_a_run_keeps_what_passes_and_says_that_it_is_not_signed(
        self, signed: tuple[Bundle, Path], root: Path
    ) -> None:
        from bonafide.training.gate import Decision
        from bonafide.training.promotion import _promote

        kept, _ = signed
        made = keep(root, kept, {"note": "new"}, "a card\n")
        decision = _promote(root, made, Decision([], "compared"))
        assert not decision.promotes and "nobody signed it" in decision.reasons[0]
        assert registry_of(root).production() == Version.of(kept)

    def test_what_ships_is_trusted_like_the_code(self, signed: tuple[Bundle, Path]) -> None:
        for name in SHIPPED_NAMES:
            assert Detector.shipped(name).bundle.folder.name == name

    @pytest.mark.parametrize("named", ["RWnone", ",", "RWnone,"])
    def test_a_key_that_is_none_is_an_error(
        self, named: str, signed: tuple[Bundle, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, named)
        assert code(Detector) == "bad_key"

    def test_other_line_ends_are_no_crash(self, signed: tuple[Bundle, Path]) -> None:
        kept, _ = signed
        path = kept.folder / SIGNATURE
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
        assert Detector(kept.folder).bundle == kept
        path.write_bytes(path.read_bytes().partition(b"\r")[0])
        assert code(lambda: Detector(kept.folder)) == "altered"


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_push_and_pull_carry_signatures(
    kind: str, bundle: Bundle, say: Say, root: Path, tmp_path: Path
) -> None:
    key, public = key_pair(tmp_path, "mine")
    say("sign", "mine:1", "--key", key)
    url = str(tmp_path / "far") if kind == "folder" else f"memory://{uuid4().hex}"
    assert say("push", "mine:1", "--to", url)[0] == 0
    there = Registry(url, tmp_path / "cache").read("mine")
    assert (there.folder / SIGNATURE).read_bytes() == (bundle.folder / SIGNATURE).read_bytes()
    shutil.rmtree(root)
    assert say("pull", "mine", "--from", url)[0] == 0
    assert say("verify", "mine", "--key", public)[0] == 0


def test_a_signature_that_comes_later_is_fetched(bundle: Bundle, tmp_path: Path) -> None:
    key, _ = key_pair(tmp_path, "mine")
    url = f"memory://{uuid4().hex}"
    here, there = (Registry(url, tmp_path / name) for name in ("here", "there"))
    registry_of(tmp_path / "home").copy_to(here, bundle)
    before, kept = there.read("mine"), here.read("mine")
    assert not (before.folder / SIGNATURE).exists()
    here.versions.sign(kept, sign(kept, key, str))
    assert (there.read("mine").folder / SIGNATURE).read_bytes() == sign(kept, key, str)


def test_a_signature_holds_of_one_version_alone(
    bundle: Bundle, say: Say, root: Path, tmp_path: Path
) -> None:
    """Another bundle has the version there: it is kept as the next, which nobody signed."""
    far = Registry(tmp_path / "far", root)
    far.versions.keep(candidate_of(tmp_path / "another", "salt"), {"name": "mine"})
    say("sign", "mine:1", "--key", key_pair(tmp_path, "mine")[0])
    said = say("push", "mine:1", "--to", tmp_path / "far")[1]
    assert "as mine:2\nmine:2: its signature holds of another manifest" in said
    assert not (far.read("mine:2").folder / SIGNATURE).exists()


def test_what_is_made_of_a_signed_bundle_is_not_signed(
    bundle: Bundle, root: Path, tmp_path: Path
) -> None:
    (bundle.folder / SIGNATURE).write_bytes(sign(bundle, key_pair(tmp_path, "mine")[0], str))
    made = keep(root, bundle, {"note": "another"}, "its card\n")
    assert Version.of(made).version == "2" and not (made.folder / SIGNATURE).exists()
    assert SIGNATURE not in made.manifest["files"]


def test_a_bill_of_materials_is_cyclonedx(say: Say, bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    assert say("sbom", "mine:1", "--output", path) == (0, "")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None
    found = json.loads(path.read_text())
    assert found["metadata"]["component"]["hashes"][0]["content"] == bundle.digest()
    packages = json.loads((bundle.folder / "lineage.json").read_text())["environment"]["packages"]
    assert {each["name"]: each["version"] for each in found["components"]} == packages
    assert f"pkg:pypi/numpy@{packages['numpy']}" in found["dependencies"][0]["dependsOn"]
    assert say("sbom", "mine:1")[1] == path.read_text()
    (bundle.folder / "lineage.json").unlink()
    write_bundle(bundle.folder, bundle.manifest)
    assert say("sbom", "mine:1")[1].startswith("bonafide: no_record: ")


def test_a_card_is_read_by_the_hub_s_own_library(say: Say) -> None:
    status, text = say("card", "default", "--licence", "other")
    card, manifest = ModelCard(text), read_bundle(SHIPPED).manifest
    assert status == 0 and card.data.license == "other" and card.data.language[0] == "en"
    assert card.data.pipeline_tag == "audio-classification"
    assert card.data.library_name == "bonafide" and "onnx" in card.data.tags
    assert card.data.model_name == "default:" + manifest["version"]
    values = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert values == {key: manifest["metrics"][key]["value"] for key in ("eer", "cllr", "auc")}
    assert card.text.strip() == (SHIPPED / "card.md").read_text().strip()
