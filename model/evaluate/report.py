"""A report that a clinician can read: `report.html`, and the same figures for programs in `report.json`.

figures = assess(patients, hours, risks, outcomes, statics=statics, alerting=alerting)
write(folder, "Risk of death in hospital", figures, about={"model": "gru-64"})
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from model.evaluate import plots
from model.evaluate.answers import answers, number, percent, with_interval
from model.evaluate.figures import AlertFigures, Figures
from model.evaluate.metrics import BINS, Metrics
from model.evaluate.page import Section, bullets, page, paragraphs, plot, table, together
from model.evaluate.subgroups import SMALLEST

HTML = "report.html"
JSON = "report.json"
USE = "Research and engineering use; not a medical device. Do not base care on it."
LIMITS = (
    USE,
    "These are recorded stays: nobody saw the scores and nobody acted on them. What alerts do to care, and "
    "to those who get them, is not known from this.",
    "The figures hold for patients and recording like these. The intervals cover chance in drawing these "
    "patients, not other hospitals or other years.",
    "If the model learnt from these patients, the figures are too good to hold for others. If these patients "
    "stopped the training, calibrated the risk or chose the threshold, the figures are optimistic.",
    "Death in hospital may come days after the last observation: lead time counts to the end of the record.",
    "A patient who was treated well and lived counts as a false alarm, even if the alert was right.",
    "Many subgroups are compared, some of them small: one that stands out may do so by chance.",
)
METHODS = (
    "The last score of each patient at or before each hour counts, even if the record ended before; “last "
    "score” is the last of all. Hours run from the patient's first score, the admission.",
    "AUROC: share of pairs of one who died and one who survived that are ranked rightly; 0.5 is chance, 1 "
    "perfect. AUPRC: average precision; chance is the death rate.",
    "Event 1: the lesser of sensitivity and positive predictive value. Event 2: the Hosmer-Lemeshow H of "
    "ten groups of equal size over the range of their mean risks; 0 is perfect. Both: Silva et al., Comput "
    "Cardiol 2012;39:245–248.",
    "Brier score: mean squared error of the risk; 0 is perfect. ECE: expected calibration error, mean "
    "distance between mean risk and death rate in ten groups of equal size (bins of equal mass).",
    "Net benefit: Vickers and Elkin, Med Decis Making 2006;26:565–574.",
    "Intervals: 95 %, percentile bootstrap over patients ({resamples:,} resamples). Resampling makes H and "
    "ECE larger by itself: their intervals are shifted back by as much. Calibration plot: Wilson's interval "
    "of a proportion.",
)


def write(
    folder: Path,
    title: str,
    figures: Figures,
    *,
    about: Mapping[str, str] | None = None,
    sections: Sequence[Section] = (),
) -> Path:
    """Write both files to `folder` (made if missing) and return the path of the page.

    about: what was evaluated, name → text, shown in the header. sections: stand after the subgroups.
    Neither file names a patient. The same figures give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {"title": title, "about": dict(about or {}), **figures.to_json()}
    (folder / JSON).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")
    path = folder / HTML
    facts = [*(about or {}).items(), *_counted(figures)]
    path.write_text(page(title, USE, facts, [*_sections(figures), *sections, *_end(figures)]), "utf-8")
    return path


def _counted(figures: Figures) -> tuple[tuple[str, str], ...]:
    return (
        ("patients", f"{figures.patients:,}"),
        ("died in hospital", f"{figures.deaths:,}, {percent(figures.at(None).metrics.death_rate)}"),
        ("events scored", f"{figures.scores:,}"),
        ("patient-days", f"{figures.patient_days:,.0f}"),
        ("with an outcome but no score", f"{figures.unscored:,}"),
        ("with a score but no outcome", f"{figures.unknown:,}"),
    )


def _sections(figures: Figures) -> Iterator[Section]:
    yield Section("In short", answers(figures))
    yield Section("Ranking", _ranking(figures))
    yield Section("Calibration: can the risk be believed?", _belief(figures))
    yield Section("Decision curve: is it worth acting on?", _worth(figures))
    yield Section("Alerts", _alerts(figures.alerts))
    yield Section("Subgroups", _subgroups(figures))


def _end(figures: Figures) -> Iterator[Section]:
    yield Section("Limits", bullets(LIMITS))
    yield Section(
        "How it was measured", bullets(text.format(resamples=figures.resamples) for text in METHODS)
    )


def _ranking(figures: Figures) -> Markup:
    alerts = figures.alerts
    at = f" at {alerts.threshold:.3g}" if alerts else " (no threshold given)"
    head = (
        "known at",
        "patients",
        "deaths",
        "AUROC",
        "AUPRC",
        f"Event 1{at}",
        "Event 1, best",
        "best threshold",
    )
    rows = [
        (
            plots.name(horizon.hours),
            *_counts(horizon.metrics),
            *map(with_interval, (horizon.metrics.auroc, horizon.metrics.auprc)),
            *map(with_interval, (horizon.metrics.event1, horizon.metrics.event1_best)),
            number(horizon.best_threshold),
        )
        for horizon in figures.horizons
    ]
    return together(
        plot(
            plots.svg(plots.ranking_by_time, figures),
            "AUROC and average precision by hours since admission",
            "Higher is better. As more is known of a patient, ranking should improve. Bars: 95 % intervals.",
        ),
        plot(
            plots.svg(plots.ranking, figures),
            "ROC curves and precision-recall curves at 6 h, 24 h and of the last scores",
            "Left: the nearer a curve comes to the upper left corner, the better; grey is chance. "
            "Right: of the patients who are flagged, how many die (upwards), when so many of the deaths "
            "are to be caught (to the right); grey is the death rate.",
        ),
        table(
            head,
            rows,
            "With 95 % intervals. The best threshold is chosen on these very patients: optimistic.",
        ),
    )


def _belief(figures: Figures) -> Markup:
    rows = [
        (
            plots.name(horizon.hours),
            *map(percent, (horizon.metrics.mean_risk, horizon.metrics.death_rate)),
            *map(with_interval, (horizon.metrics.ece, horizon.metrics.brier)),
            with_interval(horizon.metrics.event2, 1),
        )
        for horizon in figures.horizons
    ]
    return together(
        plot(
            plots.svg(plots.calibration, figures),
            "Share of patients who died by mean risk, at 24 h and of the last scores",
            f"Each dot is a tenth of the patients ({BINS} groups by risk). On the line, as "
            "many died as was foretold; above it more died (the risk is too low), below it fewer. "
            "Bars: 95 % intervals.",
        ),
        table(
            ("known at", "mean risk", "died", "ECE", "Brier", "Event 2 (H/D)"),
            rows,
            "With 95 % intervals.",
        ),
    )


def _worth(figures: Figures) -> Markup:
    return plot(
        plots.svg(plots.decision, figures),
        "Net benefit of acting on the risk, by threshold, beside acting on everybody and on nobody",
        "The threshold says how many needless actions one rightly foreseen death is worth: at 0.2, four. "
        "If a curve lies above both “everybody” and “nobody”, acting on the risk is worth more than "
        "either. The shade is the 95 % interval of the last scores.",
    )


def _alerts(alerts: AlertFigures | None) -> Markup:
    if alerts is None:
        return paragraphs("No operating threshold was given, so there are no alerts to count.")
    ours, raw = alerts.with_policy, alerts.without_policy
    lead = alerts.lead_time
    kinds = (("with the policy", ours), ("without it", raw))
    rows = [
        (
            name,
            f"{kind.alerts:,}",
            with_interval(kind.a_day, 2),
            *map(percent, (kind.patients, kind.sensitivity, kind.ppv)),
        )
        for name, kind in kinds
    ]
    early = [(f"{hours:g} h or more", percent(share)) for hours, share in lead.early.items()]
    quartiles = f", quartiles {lead.quartiles[0]:.1f} and {lead.quartiles[1]:.1f} h" if lead.quartiles else ""
    return together(
        paragraphs(f"The policy: {alerts.rule}."),
        table(
            ("alerts", "number", "per patient-day", "patients alerted", "sensitivity", "PPV"),
            rows,
            "Without it: each score at or above the threshold is an alert. Sensitivity: of those who "
            "died, the share who alerted at least once. PPV: of those who alerted, the share who died. "
            "With 95 % intervals.",
        ),
        plot(
            plots.svg(plots.lead_time, lead),
            "Share of those who died who had alerted, by hours before their last observation",
            "Read from left to right, towards the end of the record: of the patients who died, how many "
            "had already alerted. Bars: 95 % intervals.",
        ),
        paragraphs(
            f"{lead.patients:,} of {lead.deaths:,} patients who died alerted. From their first alert "
            f"to their last observation passed {with_interval(lead.median, 1)} h (median{quartiles})."
        ),
        table(("first alert before the last observation", "of those who died"), early),
    )


def _subgroups(figures: Figures) -> Markup:
    if not figures.subgroups:
        return paragraphs("There are none: age, sex and type of unit of these patients are not known here.")
    head = ("group", "patients", "deaths", "AUROC", "AUPRC", "ECE", "mean risk", "died")
    rows = [
        (
            f"{group.of}: {group.name}",
            *_counts(group.metrics),
            *map(with_interval, (group.metrics.auroc, group.metrics.auprc, group.metrics.ece)),
            *map(percent, (group.metrics.mean_risk, group.metrics.death_rate)),
        )
        for group in figures.subgroups
    ]
    note = f"Of the last scores, with 95 % intervals. Groups of fewer than {SMALLEST} patients are left out."
    return together(
        plot(
            plots.svg(plots.groups, figures),
            "AUROC, and death rate beside mean risk, of each subgroup",
            "Left: how well patients of a group are ranked among each other; the dashed line is all "
            "patients. Right: if the mean risk (diamond) lies outside the bar of what was observed, "
            "the risk is too high or too low for that group. A group whose outcomes differ little is "
            "harder to rank.",
        ),
        table(head, rows, note),
    )


def _counts(metrics: Metrics) -> tuple[str, str]:
    return f"{metrics.patients:,}", f"{metrics.deaths:,}"
