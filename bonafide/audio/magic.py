"""What containers begin with."""

FLAC, OGG, EBML = b"fLaC", b"OggS", b"\x1aE\xdf\xa3"
AMR_NB, AMR_WB = b"#!AMR\n", b"#!AMR-WB\n"
CHUNKED = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff", b"riff")
BOXES = frozenset(
    b"ftyp moov mdat free skip wide uuid moof sidx styp mfra pnot udta meta emsg prft pdin".split()
)
FIRST_BOXES = frozenset(b"ftyp moov mdat wide pnot styp".split())
WHOLE = {  # of one magic -> kind
    FLAC: "flac",
    OGG: "ogg",
    EBML: "matroska",
    AMR_NB: "amr",
    AMR_WB: "amr-wb",
    b".snd": "au",
    b"NIST_1A\n": "nist",
    b"FLV\1": "flv",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
    b"wvpk": "wavpack",
    b"MAC ": "ape",
    b"TTA1": "tta",
    b"tBaK": "tak",
    b"\0\0\1\xba": "mpeg",
}
HEAD_BYTES = 64


def container_of(head: bytes) -> str:
    """Return the kind of container that begins with these bytes; empty if it is not known."""
    if head[:4] in CHUNKED:
        return "avi" if (head[:4], head[8:12]) == (b"RIFF", b"AVI ") else "chunks"
    if head[4:8] in FIRST_BOXES:
        return "boxes"
    return next((kind for magic, kind in WHOLE.items() if head.startswith(magic)), "")
