"""Returns the outcomes in its settings, one after the other. After the last one it accepts every batch.

Settings: {"answers": [{"outcome": "unavailable", "retry_after_ms": 5, "reason": "busy"}, {"outcome": "taken"}, ...]}, as
for the Rust guest `answers`, and {"outcome": "raise", "reason": "..."}, which raises a ValueError and reports it to the
operator. Each outcome is logged as `{outcome} for {pushes} pushes, {points} points, the first of {metric}`.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import export_metrics as outcomes
from wit_world.imports import log, metrics_view, report

answers: list[dict] = []


class Lifecycle(exports.Lifecycle):
    def start(self, settings: str) -> None:
        configured = json.loads(settings)
        for key in configured:
            if key != "answers":
                raise Err(f"unknown setting `{key}`; the only setting is `answers`")
        answers.extend(configured.get("answers", []))

    def stop(self) -> None:
        log.write(log.Level.INFO, "stopped")


class ExportMetrics(exports.ExportMetrics):
    def accepted_content_types(self) -> list[str]:
        return ["OTLP"]

    def export_metrics(self, batch) -> None:
        answer = answers.pop(0) if answers else {"outcome": "taken"}
        log.write(log.Level.INFO, f"{answer['outcome']} for {described(batch)}")
        if answer["outcome"] == "raise":
            try:
                fail(answer["reason"])
            except ValueError as exception:
                report.fault(f"{type(exception).__name__}: {exception}")
                raise
        if answer["outcome"] != "taken":
            raise Err(error(answer))


def described(batch) -> str:
    metrics = [
        metric
        for push in range(batch.len())
        for resource in metrics_view.decode(batch, push)
        for scope in resource.scopes
        for metric in scope.metrics
    ]
    first = metrics[0].name if metrics else "nothing"
    return f"{batch.len()} pushes, {sum(map(points, metrics))} points, the first of {first}"


def points(metric) -> int:
    match metric.data:
        case metrics_view.Data_Gauge(found) | metrics_view.Data_Summary(found):
            return len(found)
        case metrics_view.Data_Empty():
            return 0
        case data:
            return len(data.value.points)


def fail(reason: str) -> None:
    raise ValueError(reason)


def error(answer: dict):
    match answer["outcome"]:
        case "unavailable":
            wait = answer.get("retry_after_ms")
            return outcomes.ExportError_Unavailable(outcomes.Unavailability(wait, answer["reason"]))
        case "partial":
            rejected = [outcomes.Rejection(index, answer["reason"]) for index in answer.get("rejected", [])]
            retry, wait = answer.get("retry", []), answer.get("retry_after_ms")
            return outcomes.ExportError_Partial(outcomes.PartialOutcome(rejected, retry, wait))
        case "rejected":
            return outcomes.ExportError_Rejected(answer["reason"])
        case "too-large":
            return outcomes.ExportError_TooLarge()
        case _:
            return outcomes.ExportError_Other(answer["reason"])
