"""Files with C2PA manifests, signed with a certificate that is made for the purpose."""

import io
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from c2pa import Builder, C2paSignerInfo, Context, Signer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SIGNER, ISSUER = "Signer of a test", "Throw-away tests"
QUIET = {"verify": {"verify_after_sign": False}, "builder": {"thumbnail": {"enabled": False}}}
MIME = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg", "m4a": "audio/mp4"}


def _name(common: str) -> x509.Name:
    named = {NameOID.ORGANIZATION_NAME: ISSUER, NameOID.COMMON_NAME: common}
    return x509.Name([x509.NameAttribute(key, value) for key, value in named.items()])


def _certificate(
    common: str, public: ec.EllipticCurvePublicKey, *, issuer: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    usages = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("encipher_only", "decipher_only"),
        ),
        False,
    )
    usage = x509.KeyUsage(
        digital_signature=not issuer, key_cert_sign=issuer, crl_sign=issuer, **usages
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(_name("Authority of a test"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(issuer, None), critical=True)
        .add_extension(usage, critical=True)
    )


@cache
def _signer_info() -> tuple[bytes, bytes]:
    """A chain of two certificates and the key of the first."""
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("Authority of a test", authority.public_key(), issuer=True)
    leaf = _certificate(SIGNER, key.public_key(), issuer=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    leaf = leaf.add_extension(identifier, critical=False).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
    )
    pem = serialization.Encoding.PEM
    chain = [each.sign(authority, hashes.SHA256()).public_bytes(pem) for each in (leaf, root)]
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return b"".join(chain), private


def sign(content: bytes, name: str, source: str = "digitalCapture", url: str = "") -> bytes:
    """Return a file of a format with a manifest in it, or with the address of one elsewhere."""
    action = {"action": "c2pa.created", "digitalSourceType": SOURCE + source}
    manifest: dict[str, Any] = {
        "claim_generator_info": [{"name": "Voice Maker", "version": "2"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }
    chain, key = _signer_info()
    signed = io.BytesIO()
    info = C2paSignerInfo(alg=b"es256", sign_cert=chain, private_key=key, ta_url=None)
    with (
        Context.from_dict(QUIET) as context,
        Signer.from_info(info) as signer,
        Builder(json.dumps(manifest), context=context) as builder,
    ):
        if url:
            builder.set_no_embed()
            builder.set_remote_url(url)
        builder.sign(signer, MIME[name], io.BytesIO(content), signed)
    return signed.getvalue()
