"""Which flights from New York will arrive late? From raw tables to a registered model.

hw run examples/flights/pipeline.py
hw run examples/flights/pipeline.py depth=8        # reruns training and what comes after it
hw plan examples/flights/pipeline.py late_after=30
"""

from __future__ import annotations

from features import join, make_features, select_month
from headwater import File, fail, notify, otherwise, over, pipeline, register, when
from learning import Report, evaluate, importance, predict, train
from report import plot_calibration, plot_hours, write_page
from tables import load_airlines, load_airports, load_flights, load_holidays, load_planes, load_weather, validate

#: The model learns from these months and is measured on those.
LEARN = [1, 2, 3, 4, 5, 6, 7, 8, 9]
MEASURE = [10, 11, 12]


@pipeline
def flights(
    depth: int = 6,
    iterations: int = 60,
    learning_rate: float = 0.1,
    late_after: int = 15,
    min_auc: float = 0.65,
    seed: int = 0,
    holidays: File = File("holidays.txt"),  # noqa: B008  it names a file; nothing is read
) -> Report:
    """Learn from January to September, measure on October to December, and register the model if it is good enough."""
    joined = join(
        validate(load_flights()),
        weather=load_weather(),
        planes=load_planes(),
        airports=load_airports(),
        airlines=load_airlines(),
    )
    days = load_holidays(holidays)
    learn = make_features.map(over(select_month.map(joined, over(LEARN))), holidays=days, late_after=late_after)
    measure = make_features.map(over(select_month.map(joined, over(MEASURE))), holidays=days, late_after=late_after)

    model = train(learn, depth=depth, iterations=iterations, learning_rate=learning_rate, seed=seed)
    predictions = predict(model, measure)
    report = evaluate(predictions)

    with when(report.auc >= min_auc) as good:
        plots = [plot_calibration(predictions), plot_hours(predictions)]
        write_page(report, importance(model, measure, seed=seed), plots)
        register(model, name="flight-delay")
    with otherwise(good):
        notify("flight-delay: the model is not good enough", report)
        fail("flight-delay: the AUC is below the least one asked for")
    return report
