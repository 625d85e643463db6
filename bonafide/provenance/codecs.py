"""Which codecs give back what they were given."""

LOSSLESS = (
    *("pcm_", "wav", "rf64", "w64", "flac", "aiff", "au", "caf", "nist", "alac", "ape", "tta"),
    "tak",
)


def is_lossless(codec: str) -> bool:
    """Return whether a codec, or the container of libsndfile's that stands for it, is lossless.

    Parameters
    ----------
    codec : str
        As `AudioStream` names it.

    Returns
    -------
    bool

    Examples
    --------
    >>> [is_lossless(codec) for codec in ("wav", "pcm_s16be", "flac", "mp3", "opus")]
    [True, True, True, False, False]
    """
    return codec.startswith(LOSSLESS)
