"""Errors of the model package. `stream` translates them into its own tree at its border.

ValueError
├── ArtifactError   a stored model is missing, damaged, or does not fit this code
├── DatasetError    recorded data is missing or not what it should be
└── RecipeError     settings of a training that contradict each other
RuntimeError
└── PeerError       another process of a distributed training is gone
"""

from __future__ import annotations


class ArtifactError(ValueError):
    pass


class DatasetError(ValueError):
    pass


class RecipeError(ValueError):
    pass


class PeerError(RuntimeError):
    pass
