"""Train a model of lateness, let it speak on months it has not seen, and measure what it said.

scikit-learn is imported by the steps that use it: drawing the pipeline, or planning it, needs no more than the types.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features import CATEGORIES, FEATURES
from headwater import File, step


@dataclass(frozen=True)
class Report:
    """How well the model tells late flights from others, in months that it has not seen."""

    #: 0.5 is guessing, 1 is perfect.
    auc: float
    average_precision: float
    #: Mean squared error of the probabilities.
    brier: float
    f1: float
    precision: float
    recall: float
    #: From this probability on a flight is called late.
    threshold: float
    flights: int
    late_share: float


@step
def train(months: list[pa.Table], *, depth: int, iterations: int, learning_rate: float, seed: int) -> File:
    """Fit gradient-boosted trees to the flights of all given months."""
    import joblib
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    rows, late = matrix(months)
    model = HistGradientBoostingClassifier(
        max_depth=depth,
        max_iter=iterations,
        learning_rate=learning_rate,
        # scikit-learn has no types: the checker takes the type of a default for that of the parameter.
        categorical_features=[FEATURES.index(name) for name in CATEGORIES],  # pyright: ignore[reportArgumentType]
        early_stopping=False,  # pyright: ignore[reportArgumentType]
        random_state=seed,
    )
    # One thread: several wait for one another by spinning, which on a busy machine takes many times as long.
    with threadpool_limits(limits=1):
        model.fit(rows, late)
    file = File.new("model.joblib")
    joblib.dump(model, file)
    return file


@step(packages=["scikit-learn"])  # it reads the model, though its name does not stand here
def predict(model: File, months: list[pa.Table]) -> pa.Table:
    """Give for each flight the probability that it is late, beside whether it was."""
    import joblib
    from threadpoolctl import threadpool_limits

    rows, late = matrix(months)
    with threadpool_limits(limits=1):
        probability = joblib.load(model).predict_proba(rows)[:, 1]
    return pa.table({"probability": probability, "late": late, "hour": rows[:, FEATURES.index("hour")]})


@step
def evaluate(predictions: pa.Table) -> Report:
    """Measure the predictions."""
    from sklearn import metrics

    probability, late = predictions["probability"].to_numpy(), predictions["late"].to_numpy()
    threshold = alarm_threshold(probability)
    called = probability >= threshold
    return Report(
        auc=rounded(metrics.roc_auc_score(late, probability)),
        average_precision=rounded(metrics.average_precision_score(late, probability)),
        brier=rounded(metrics.brier_score_loss(late, probability)),
        f1=rounded(metrics.f1_score(late, called)),
        precision=rounded(metrics.precision_score(late, called)),
        recall=rounded(metrics.recall_score(late, called)),
        threshold=rounded(threshold),
        flights=len(late),
        late_share=rounded(late.mean()),
    )


@step
def importance(model: File, months: list[pa.Table], *, seed: int) -> dict[str, float]:
    """Tell how much AUC is lost when one feature is shuffled, for each feature, the most important first."""
    import joblib
    from sklearn.inspection import permutation_importance
    from threadpoolctl import threadpool_limits

    rows, late = matrix(months)
    some = np.random.default_rng(seed).choice(len(late), size=sample_size(len(late)), replace=False)
    with threadpool_limits(limits=1):
        result = permutation_importance(
            joblib.load(model), rows[some], late[some], scoring="roc_auc", n_repeats=2, random_state=seed
        )
    losses = {name: rounded(loss) for name, loss in zip(FEATURES, result.importances_mean, strict=True)}
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def matrix(months: list[pa.Table]) -> tuple[np.ndarray, np.ndarray]:
    """Lay several months under one another: a row of features for each flight, and whether it was late."""
    table = pa.concat_tables(months)
    rows = np.column_stack([table[name].to_numpy() for name in FEATURES])
    return rows, table["late"].to_numpy()


def alarm_threshold(probability: np.ndarray) -> float:
    """Choose the probability from which a flight is called late, such that a fixed share of flights is."""
    share = 0.25
    return float(np.quantile(probability, 1 - share))


def sample_size(flights: int) -> int:
    """Bound the work of shuffling."""
    return min(flights, 8_000)


def rounded(number: float) -> float:
    """Keep six digits, so that a last bit that differs between processors is no difference."""
    return round(float(number), 6)
