"""Views on the mel scale: ``mfcc``, and ``logmel`` without the cosine transform."""

from bonafide.features.kinds.base import Bands, Table, ViewKind, cosine_table


def mel_filters(bands: Bands) -> Table:
    """Return librosa's triangular filters at equal steps of the mel scale.

    Parameters
    ----------
    bands : Bands
        Number, limits and resolution of the filters.

    Returns
    -------
    ndarray of float32, shape (n_filters, 1 + n_fft // 2)
        Each filter of unit area in Hz.

    References
    ----------
    `librosa.filters.mel`, with Slaney's mel scale: Slaney, "Auditory toolbox", 1998.
    Davis & Mermelstein, "Comparison of parametric representations for monosyllabic word
    recognition in continuously spoken sentences", 1980 (the cepstra).
    """
    import numpy as np
    from librosa.filters import mel

    table = mel(
        sr=bands.sample_rate_hz,
        n_fft=bands.n_fft,
        n_mels=bands.n_filters,
        fmin=bands.low_hz,
        fmax=bands.high_hz,
    )
    return np.asarray(table, dtype=np.float32)


MFCC = ViewKind("mfcc", mel_filters, cosine_table)
LOGMEL = ViewKind("logmel", mel_filters)
