"""Views at equal steps of frequency: ``lfcc``, and ``logband`` without the cosine transform."""

from bonafide.features.kinds.base import Bands, Table, ViewKind, cosine_table


def linear_filters(bands: Bands) -> Table:
    """Return triangular filters at equal steps of frequency.

    The construction is that of `librosa.filters.mel` with ``linspace`` in place of the mel scale.

    Parameters
    ----------
    bands : Bands
        Number, limits and resolution of the filters.

    Returns
    -------
    ndarray of float32, shape (n_filters, 1 + n_fft // 2)
        Each filter of unit area in Hz.

    Examples
    --------
    Three filters whose peaks are 2, 4 and 6 kHz, on bins 1 kHz apart:

    >>> bands = Bands(n_filters=3, low_hz=0.0, high_hz=8000.0, n_fft=16, sample_rate_hz=16000)
    >>> 2000 * linear_filters(bands)
    array([[0. , 0.5, 1. , 0.5, 0. , 0. , 0. , 0. , 0. ],
           [0. , 0. , 0. , 0.5, 1. , 0.5, 0. , 0. , 0. ],
           [0. , 0. , 0. , 0. , 0. , 0.5, 1. , 0.5, 0. ]], dtype=float32)

    References
    ----------
    Sahidullah, Kinnunen & Hanilçi, "A comparison of features for synthetic speech detection",
    2015 (the cepstra).
    """
    import numpy as np

    hz = np.fft.rfftfreq(bands.n_fft, 1 / bands.sample_rate_hz)
    corners = np.linspace(bands.low_hz, bands.high_hz, bands.n_filters + 2)
    rise = (hz[None] - corners[:-2, None]) / np.diff(corners)[:-1, None]
    fall = (corners[2:, None] - hz[None]) / np.diff(corners)[1:, None]
    triangles = np.maximum(0, np.minimum(rise, fall))
    return (triangles * 2 / (corners[2:] - corners[:-2])[:, None]).astype(np.float32)


LFCC = ViewKind("lfcc", linear_filters, cosine_table)
LOGBAND = ViewKind("logband", linear_filters)
