"""RAdam's variance rectifier (Liu et al. 2019, arXiv 1908.03265)."""

import numpy as np
from numpy.typing import NDArray

TRACTABLE = 5.0  # length of the second moment's average above which its variance can be told

Floats = NDArray[np.float64]


def rectifier(beta2: Floats, count: NDArray[np.int64], kept: Floats) -> Floats:
    """r_t after so many updates, and 0 where the variance is intractable; ``kept`` [...] is beta2 to the ``count``."""
    longest = np.broadcast_to(2.0 / (1.0 - beta2) - 1.0, kept.shape)
    length = longest - 2.0 * count * kept / (1.0 - kept)
    usable = length > TRACTABLE
    rho, most = length[usable], longest[usable]
    rectified = np.zeros(kept.shape)
    rectified[usable] = np.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    return rectified
