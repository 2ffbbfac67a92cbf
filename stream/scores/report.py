"""Scores, what became of their patients and the alerts that they make, as a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.datasets.stays import Outcomes, Statics
from model.evaluate import report
from model.evaluate.figures import Alerting, assess
from model.evaluate.page import Section
from stream.alert.policy import Policy, decide
from stream.errors import DataError
from stream.scores.reader import ScoreColumns


def write_report(
    folder: Path,
    scores: ScoreColumns,
    outcomes: Outcomes,
    statics: Statics | None,
    threshold: float | None,
    *,
    learnt_from: str | None = None,
    sections: Sequence[Section] = (),
) -> Path:
    """Write the report of the scores to `folder`; the path of its page.

    threshold: of the alert policy, None for no alerts. learnt_from: what the model was trained on, if
    known. sections: more of the page. Raises `DatasetError` if no scored patient has an outcome,
    `DataError` if the folder cannot be written.
    """
    alerting = None
    if threshold is not None:
        policy = Policy(threshold)
        raised = decide(policy, scores.patients, scores.hours, scores.risks, scores.warm).raised
        alerting = Alerting(threshold, raised, str(policy))
    figures = assess(
        scores.patients, scores.hours, scores.risks, outcomes, statics=statics, alerting=alerting
    )
    about = {
        "model": scores.model_name,
        "hash": scores.model_hash,
        "foretells": scores.target.replace("_", " "),
    }
    about |= {"the model was trained on": learnt_from} if learnt_from else {}
    try:
        return report.write(folder, "How good the risk scores are", figures, about=about, sections=sections)
    except OSError as error:
        raise DataError(f"cannot write the report to {folder}: {error.strerror}") from error
