"""A new run, set up: data read, weights loaded and everything checked before anything is written.

The one way for the command line and for Python; the server's manager makes the run's folder first, since its runs wait
in a queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bertdemo.mlm.data.corpus import Dialect, read_corpus
from bertdemo.mlm.errors import SettingsError
from bertdemo.mlm.models.loading import default_learning_rate
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import SETTINGS, TrainingConfig, configure
from bertdemo.mlm.text.prompt import prepare_text
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.mlm.training.replay import read_replay

from .execution import replay_source
from .record import DataSource
from .run import Run
from .store import RunStore, Workspace


@dataclass(frozen=True)
class NewRun:
    """A session that is ready to train, and what its run's record will say of it."""

    session: TrainingSession
    model: ModelRef
    data: DataSource

    def create(self, store: RunStore, *, name: str = "", output: Path | None = None) -> Run:
        """The run's folder, claimed by this process. Raises RunError where it cannot be made."""
        settings = self.session.config
        return store.create(name=name, model=self.model, data=self.data, settings=settings, output=output)


def new_run(
    workspace: Workspace,
    path: Path,
    values: Mapping[str, object],
    *,
    model: str,
    base: TrainingConfig | None = None,
    column: str | None = None,
    dialect: Dialect | None = None,
) -> NewRun:
    """``values`` by the names in ``SETTINGS``, over ``base`` or the defaults that suit the model.

    Raises:
        DataError, ModelError, SettingsError, TextError: what there is does not allow a run.
    """
    unknown = next((name for name in values if name not in SETTINGS), None)
    if unknown is not None:
        raise SettingsError(f"There is no setting {unknown!r}; there are {', '.join(SETTINGS)}.")
    ref = workspace.registry.resolve(model)
    config = configure(values, base=base or TrainingConfig(learning_rate=default_learning_rate(ref)))
    limit = None if values.get("limit") is None else SETTINGS["limit"].parse(values["limit"])
    corpus = read_corpus(path, column=column, dialect=dialect, limit=limit, seed=config.seed)
    masked_lm = workspace.registry.private_copy(ref)
    if values.get("max_length") is None:
        config = replace(config, max_length=min(config.max_length, masked_lm.max_length))
    for probe in config.probes:  # one that the model cannot fill is refused before anything is started
        prepare_text(masked_lm, probe)
    replay = values.get("replay")
    if values.get("replay_share") is not None and replay is None:
        raise SettingsError(
            "There are no general texts to take that share of; add --replay general, or --replay FILE (Python: replay)."
        )
    mixed_in = () if replay is None else read_replay(str(replay), held_out=corpus.held_out)
    session = TrainingSession(masked_lm, corpus, config, general=workspace.general_english, replay=mixed_in)
    data = DataSource(
        corpus.name,
        str(path.resolve()),
        corpus.sha256,
        corpus.column,
        limit,
        asdict(dialect) if dialect else None,
        **replay_source(None if replay is None else str(replay)),
    )
    return NewRun(session, ref, data)
