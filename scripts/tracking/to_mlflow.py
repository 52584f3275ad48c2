"""A run as two MLflow runs, the evaluation below its training, in FOLDER/mlflow.db (SQLite).

    uvx mlflow ui --backend-store-uri sqlite:///results/tracking/mlflow/mlflow.db

Settings are params, curves and values are metrics, labels are tags, evidence is artifacts. A run whose content is
stored already is left alone; a changed one is written anew and the old one marked as deleted.
"""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from scripts.tracking.tracker import PROJECT, Part, TrackedRun

METRICS_A_BATCH, PARAMS_A_BATCH, LONGEST_VALUE = 1000, 100, 6000  # MLflow's own limits


class MLflow:
    """See Tracker."""

    def log(self, tracked: TrackedRun, folder: Path) -> None:
        """Store both parts."""
        client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
        experiment = client.get_experiment_by_name(PROJECT)
        identity = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(PROJECT, artifact_location=(folder / "artifacts").as_uri())
        )
        parent = None
        for part in tracked.parts:
            parent = store_part(client, identity, tracked, part, parent)


def store_part(client: MlflowClient, experiment: str, tracked: TrackedRun, part: Part, parent: str | None) -> str:
    """Id of the MLflow run that holds this part, new or found."""
    content = tracked.content_sha256(part)
    earlier = runs_of(client, experiment, tracked.name, part.job)
    for run in earlier:
        if run.info.status == "FINISHED" and run.data.tags.get("content_sha256") == content:
            return str(run.info.run_id)
    for run in earlier:
        client.delete_run(run.info.run_id)
    tags = {"run": tracked.name, "job": part.job, "content_sha256": content}
    if parent:
        tags |= {"mlflow.parentRunId": parent, "training_run": parent}
    created: Run = client.create_run(experiment, tracked.created_ms, tags, f"{tracked.name}.{part.job}")
    identity = str(created.info.run_id)
    metrics = [
        Metric(series.name, value, tracked.created_ms, round(x)) for series in part.series for x, value in series.points
    ]
    metrics += [Metric(name, value, tracked.created_ms, tracked.steps) for name, value in part.values.items()]
    params = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in part.settings.items()]
    labels = [RunTag(name, label) for name, label in part.labels.items()]
    for start in range(0, len(metrics), METRICS_A_BATCH):
        client.log_batch(identity, metrics=metrics[start : start + METRICS_A_BATCH])
    for start in range(0, len(params), PARAMS_A_BATCH):
        client.log_batch(identity, params=params[start : start + PARAMS_A_BATCH])
    client.log_batch(identity, tags=labels)
    for path in part.files:
        client.log_artifact(identity, path)
    client.set_terminated(identity, "FINISHED")
    return identity


def runs_of(client: MlflowClient, experiment: str, name: str, job: str) -> list[Run]:
    """What is stored of a part already. Names are compared here: a filter of MLflow cannot hold every quote."""
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment], f"tags.job = '{job}'", page_token=token)
        found += [run for run in page if run.data.tags.get("run") == name]
        token = page.token
        if not token:
            return found
