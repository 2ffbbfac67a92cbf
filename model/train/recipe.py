"""What a training run is made of. The same recipe, data and machine give the same model."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pydantic import JsonValue

from model.risk_model import Shape


@dataclass(frozen=True, slots=True)
class Recipe:
    """cell, hidden_size, wide_size: the model's shape.
    epochs: most passes over the stays; the learning rate ends its cycle with the last.
    patience: epochs without a better validation loss after which training ends.
    folds: folds in which the teacher scores the stays that it did not learn from; 0: no teacher.
    label_weight: weight of the outcome beside the teacher's score, if there is a teacher.
    hindsight: share of the teacher's score that is taken at the end of the stay and not at the step: a target
        distilled from the future, nearer to the outcome than the step's score and less random than it.
    early_weight: weight of a step at admission, relative to 1 at 48 h; linear between and beyond. In the
        loss and in calibration.
    positive_weight: weight of the loss on deaths (they are one in seven); calibration takes it out of the
        risk again.
    variable_dropout: chance of each variable to be hidden for a whole stay while training.
    calibration_folds: folds of cross-fitting, in which every patient is scored by a model that has not seen
        it: what calibration, alert threshold and warm-up are fitted on without another set.
    average_decay: of the exponential moving average of the weights, which is the model that is kept.
    """

    cell: str = "gru"
    hidden_size: int = 64
    wide_size: int = 64
    epochs: int = 12
    patience: int = 12
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    dropout: float = 0.0
    variable_dropout: float = 0.15
    clip_norm: float = 1.0
    average_decay: float = 0.995
    early_weight: float = 0.5
    positive_weight: float = 1.0
    folds: int = 5
    label_weight: float = 0.3
    hindsight: float = 0.5
    calibration_folds: int = 3
    seed: int = 0

    @property
    def shape(self) -> Shape:
        return Shape(self.cell, self.hidden_size, self.wide_size)

    def to_json(self) -> dict[str, JsonValue]:
        return asdict(self)
