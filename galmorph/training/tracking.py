"""A training recorded with MLflow: settings, metrics of each epoch, digests of the data, and where the results lie."""

import contextlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

import galmorph
from galmorph.names import flat
from galmorph.registry.store import artefacts_beside, open_store, store_uri
from galmorph.training.checkpoint import SUFFIX
from galmorph.training.folder import BEST, CHECKPOINTS, METRICS, RECIPE
from galmorph.training.module import Training

logger = logging.getLogger(__name__)

#: In the folder of a training: which run it is, so that a resumed training goes on with it.
RUN = "mlflow.json"

#: The most that MLflow takes in one call.
BATCH = 100


class Tracking(Callback):
    """Records trainings with MLflow, one run for each folder.

    A run has the recipe's settings as parameters, the metrics of each epoch, and as tags the digests of source and
    target, versions, and where folder and best checkpoint lie; recipe and table of metrics are its artefacts. A store
    that fails later on costs no training: what could not be sent is sent with the next epoch's metrics, and a training
    that goes on and is not in the store any more has a new run. One object can be given to several trainings, one
    after the other.

    Parameters
    ----------
    uri : str
        As for `galmorph.registry.store.store_uri`.

    Raises
    ------
    MissingExtraError
        If MLflow is not installed.
    ConfigError
        If the store cannot be opened.
    """

    def __init__(self, uri: str) -> None:
        self.uri = store_uri(uri)
        self.client: Any = open_store(self.uri)
        self.run = ""
        self.waiting: list[Any] = []
        self.module: Training
        self.folder: Path

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a run, or go on with that of an interrupted training."""
        if not trainer.is_global_zero or not isinstance(pl_module, Training):
            return
        self.run, self.waiting, self.module, self.folder = "", [], pl_module, Path(trainer.default_root_dir)
        with _kept_going():
            self._begin()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the metrics of an epoch."""
        if not trainer.is_global_zero:
            return
        from mlflow.entities import Metric

        now, epoch = int(1000 * time.time()), trainer.current_epoch
        self.waiting += [Metric(name, float(value), now, epoch) for name, value in trainer.callback_metrics.items()]
        with _kept_going():
            self._send()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record where the results lie, and end the run."""
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir).resolve()
        with _kept_going():
            self._send()
            self.client.set_tag(self.run, "galmorph.checkpoint", str(folder / CHECKPOINTS / f"{BEST}{SUFFIX}"))
            for name in (RECIPE, METRICS):
                self.client.log_artifact(self.run, str(folder / name))
            self.client.set_terminated(self.run, "FINISHED")
        self.run = ""

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """End the run of a training that does not end well."""
        if trainer.is_global_zero and self.run:
            with _kept_going():
                self._send()
                self.client.set_terminated(self.run, "KILLED" if isinstance(exception, KeyboardInterrupt) else "FAILED")

    def _send(self) -> None:
        """Send metrics, of earlier epochs too if these could not be sent."""
        if not self.run:
            self._begin()
        while self.waiting:
            self.client.log_batch(self.run, metrics=self.waiting[:BATCH])
            del self.waiting[:BATCH]

    def _begin(self) -> None:
        """Begin a run, or go on with the folder's."""
        run = self._known(self.folder) or self._new(self.folder, self.module)
        self.client.update_run(run, status="RUNNING")
        self.run = run

    def _known(self, folder: Path) -> str:
        """The run of a folder in this store, empty if there is none."""
        from mlflow.exceptions import MlflowException

        if not (folder / RUN).is_file():
            return ""
        facts = json.loads((folder / RUN).read_text())
        if facts["uri"] != self.uri:
            return ""
        try:
            self.client.get_run(facts["run"])
        except MlflowException:
            logger.warning("%s has no run %s of %s any more, and a new one is begun", self.uri, facts["run"], folder)
            return ""
        return str(facts["run"])

    def _new(self, folder: Path, module: Training) -> str:
        """A run with everything that is known before the first epoch."""
        from mlflow.entities import Param, RunTag

        name = module.recipe.name
        experiment = self.client.get_experiment_by_name(name)
        identity = self.client.create_experiment(name, artefacts_beside(self.uri)) if experiment is None else None
        run = self.client.create_run(identity or experiment.experiment_id, run_name=folder.name).info.run_id
        params = [Param(key, str(value)) for key, value in flat(module.recipe.portable())]
        for start in range(0, len(params), BATCH):
            self.client.log_batch(run, params=params[start : start + BATCH])
        facts = {"folder": str(folder.resolve()), "galmorph": galmorph.__version__, **_lineage(module.record)}
        self.client.log_batch(run, tags=[RunTag(f"galmorph.{key}", value) for key, value in facts.items()])
        (folder / RUN).write_text(json.dumps({"uri": self.uri, "run": run}) + "\n")
        return str(run)


@contextlib.contextmanager
def _kept_going() -> Iterator[None]:
    """Warn of what a store's driver raises, and go on."""
    try:
        yield
    except Exception as error:
        logger.warning("MLflow could not be told: %s", error)


def _lineage(record: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the files that a training learns from, by domain."""
    target = record["target"] or {"digests": {}}
    return {
        f"{domain}.{name}": digest
        for domain, digests in (("source", record["digests"]), ("target", target["digests"]))
        for name, digest in digests.items()
    }
