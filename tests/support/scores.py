"""RiskScores, as tests want them."""

from stream.contracts.scores import RiskScore


def risk_score(patient, at, risk, *, id=None, model="0" * 64, news2=3, complete=True, **state):
    """One of `patient`, observed and made at `at` (ms); the rest is what a sound score of gru-64 says."""
    known = {"events": 20, "warm": True, "late": False, "stale": []} | state
    return RiskScore(
        id=id or f"{patient}/{at}",
        patient_id=patient,
        observed_at=at,
        scored_at=at,
        risk=risk,
        target="in_hospital_death",
        model={"name": "gru-64", "hash": model},
        state={"coverage": 1.0, "closed": False, **known},
        news2={"score": news2, "complete": complete},
        source={"topic": "t", "partition": 0, "offset": 0},
    )
