"""What a run leaves for the next one that differs from it in the rate and the seed only: graphs, and what they read.

A head on features that are kept is trained in half a second; planning, tracing and compiling take three times that.
Where many are trained, as in a sweep, the second begins with the graphs of the first, and ends with the bits that it
would have ended with alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfvertical.chunks import Chunks

if TYPE_CHECKING:
    from tfvertical.compiling import Compiled
    from tfvertical.kept import Trained
    from tfvertical.optimizer import RunSchedule
    from tfvertical.planning import Plan
    from tfvertical.settings import Settings


@dataclass
class Again:
    """Given to runs of one task, on the same examples, by the same adaptation and settings but for rate and seed.

    The weights that learn must be back where they were; what is frozen must not have moved.

    Attributes:
        planned: how the stage is trained; None until a run has left something.
        trained: the stage's model, and its examples with what is frozen already computed.
        policy: by which precision that was, and why.
        compiled: the optimizer, with what it was built on.
        rate: the highest, a variable.
        graphs: those of the stage's steps, by what they are for.
    """

    planned: Plan | None = None
    trained: Trained | None = None
    policy: tuple[str, str] | None = None
    compiled: Compiled | None = None
    rate: Any = None
    graphs: dict[str, Any] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether the run before has left something."""
        return self.planned is not None

    def serves(self, planned: Plan, settings: Settings) -> bool:
        """Whether a run is of a kind that leaves something: one stage on what is kept, by an optimizer that begins with
        zeros."""
        if not self.ready:  # a run that failed may have left some
            self.graphs.clear()
        plain = settings.average is None and settings.precision != "mixed_float16"
        return len(planned.ways) == 1 and planned.ways[0].how == "kept" and plain

    def schedule(self, plain: RunSchedule) -> RunSchedule:
        """The same, with a rate that the next run can set."""
        plain.peak = self.rate = tf.Variable(plain.peak, trainable=False, dtype=tf.float32)
        return plain

    def begin(self, settings: Settings) -> Compiled:
        """The optimizer as it was before its first step, at this run's rate."""
        assert self.compiled is not None, "only where a run has left something"
        for variable in self.compiled.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        self.rate.assign(settings.learning_rate)
        return self.compiled

    def keep(self, trained: Trained, compiled: Compiled, taken: Any) -> None:
        """The stage has been trained; steps that are not taken in chunks make their graphs anew, and leave nothing."""
        if isinstance(taken, Chunks):
            self.trained, self.compiled = trained, compiled

    def leave(self, planned: Plan, policy: tuple[str, str] | None) -> None:
        """The stage has ended well."""
        if self.trained is not None:
            self.planned, self.policy = planned, policy
