"""A second loss that takes part in the first updates of a run: the other thing that is called warmup."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Floats = NDArray[np.float64]


class Auxiliary(BaseModel):
    """How much a task's second loss adds to its first: ``weight`` times it up to update ``updates``, then nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: Annotated[float, Field(ge=0)] = 0.0
    updates: Annotated[int, Field(ge=0)] = 0

    @property
    def acts(self) -> bool:
        """Whether it takes part at all."""
        return self.weight > 0 and self.updates > 0


NO_AUXILIARY = Auxiliary()


def weights(auxiliaries: Sequence[Auxiliary], total: int) -> Floats:
    """Weight of the second loss at every update, for R runs: [total, R]."""
    update = np.arange(1, total + 1)[:, None]
    last = np.array([auxiliary.updates for auxiliary in auxiliaries])
    return np.where(update <= last, np.array([auxiliary.weight for auxiliary in auxiliaries]), 0.0)
