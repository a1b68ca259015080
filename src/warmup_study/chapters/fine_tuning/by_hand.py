"""A toy example to follow by hand: one weight under Adam, whose gradients grow when the new data arrive."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

QUIET, LOUD, LATER = 0.1, 30.0, 3.0  # gradients at the end of the training before, on meeting new data, once moved
BEFORE, WAITED = 1000, 5  # updates of the training before, and those at lr = 0
SHOWN = (1, 2, 10, 50)  # updates since the new data were met


def steps(beta1: float = 0.9, beta2: float = 0.999) -> pd.DataFrame:
    """Sizes of some of Adam's updates on new data, in learning rates, from three states; without epsilon.

    Fresh, kept from training whose gradients were small and of either sign, and gathered at lr = 0, where the weight
    cannot move and its gradient cannot shrink.
    """
    met = [LOUD] + [LATER] * SHOWN[-1]
    past = {"fresh": [], "kept": [QUIET * (-1) ** k for k in range(BEFORE)], "gathered at lr = 0": [LOUD] * WAITED}
    table = {
        f"step, state {name}": [_step([*seen, *met[:k]], beta1, beta2) for k in SHOWN] for name, seen in past.items()
    }
    return pd.DataFrame({"update": SHOWN, "gradient": [met[k - 1] for k in SHOWN]} | table)


def _step(gradients: Sequence[float], beta1: float, beta2: float) -> float:
    """Adam's step after these gradients: their corrected mean over the root of their corrected mean square."""
    values = np.asarray(gradients)
    return _mean(values, beta1) / float(np.sqrt(_mean(values**2, beta2)))


def _mean(values: np.ndarray, beta: float) -> float:
    """Mean with weights that fall by a factor of beta with age: the running mean after its correction."""
    weights = beta ** np.arange(len(values))[::-1]
    return float((weights * values).sum() / weights.sum())
