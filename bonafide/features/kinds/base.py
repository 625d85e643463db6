"""The interface of view kinds. It imports nothing heavy: reading a feature spec needs the kinds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Table: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True)
class Bands:
    """The bands that a view's filters cut out of a power spectrum.

    Parameters
    ----------
    n_filters : int
        How many filters.
    low_hz, high_hz : float
        Lower limit of the lowest filter and upper limit of the highest.
    n_fft : int
        Samples of a frame; the spectrum has ``1 + n_fft // 2`` bins.
    sample_rate_hz : int
        Rate of these samples.
    """

    n_filters: int
    low_hz: float
    high_hz: float
    n_fft: int
    sample_rate_hz: int


@dataclass(frozen=True)
class ViewKind:
    """How a view computes its features from power spectra.

    Parameters
    ----------
    name : str
        Its name in ``ViewSpec.kind``.
    filters : callable
        `Bands` -> weights of the power spectrum's bins, float32 (n_filters, 1 + n_fft // 2). The
        first and the last bin must have no weight: the front end does not compute them.
    transform : callable, optional
        ``(n_filters, n_coefficients)`` -> the matrix from the filters' powers in decibels to
        features, float32 (n_coefficients, n_filters). Without it these powers are the features.
    """

    name: str
    filters: Callable[[Bands], Table]
    transform: Callable[[int, int], Table] | None = None

    def n_features(self, n_filters: int, n_coefficients: int) -> int:
        """Return how many features a frame has before derivatives.

        Parameters
        ----------
        n_filters, n_coefficients : int
            Those of the view.

        Returns
        -------
        int
            `n_coefficients` with a transform, else `n_filters`.
        """
        return n_filters if self.transform is None else n_coefficients

    def allowed_coefficients(self, n_filters: int) -> tuple[range, str]:
        """Return which numbers of coefficients are allowed.

        Parameters
        ----------
        n_filters : int
            That of the view.

        Returns
        -------
        range
            1 to `n_filters` with a transform, else 0 alone.
        str
            The same in words, for a message.
        """
        if self.transform is None:
            return range(1), f"0 for {self.name}"
        return range(1, n_filters + 1), f"1 to n_filters={n_filters}"


def cosine_table(n_filters: int, n_coefficients: int) -> Table:
    """Return the orthonormal DCT-II, from log powers to cepstra.

    Parameters
    ----------
    n_filters : int
        Log powers of a frame.
    n_coefficients : int
        Coefficients kept, from the first; at most `n_filters`.

    Returns
    -------
    ndarray of float32, shape (n_coefficients, n_filters)

    References
    ----------
    Ahmed, Natarajan & Rao, "Discrete cosine transform", 1974; `scipy.fft.dct`.
    """
    import numpy as np
    import scipy.fft

    table = scipy.fft.dct(np.eye(n_filters), axis=0, norm="ortho")
    return np.asarray(table[:n_coefficients], dtype=np.float32)
