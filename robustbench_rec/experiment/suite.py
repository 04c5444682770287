"""Suites: a grid of checked components, and its cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from robustbench_rec.components.backbone import Backbone
from robustbench_rec.components.dataset import Dataset
from robustbench_rec.components.labels import UNTRAINED, distinct_labels, label_of, spec_once
from robustbench_rec.components.loss import LOSSES
from robustbench_rec.components.perturbation import Perturbation
from robustbench_rec.evaluation.metrics import Averaging, parse
from robustbench_rec.experiment.cell import Cell, Selection, Varies
from robustbench_rec.experiment.claim import Claim
from robustbench_rec.experiment.reference import Published
from robustbench_rec.experiment.search_space import Entry, Tuning
from robustbench_rec.training.config import SELECT_AT, TrainConfig


@dataclass(frozen=True)
class Suite:
    """A named grid: data sets x backbones x losses x perturbations x levels x replicates.

    Attributes:
        name, about: name and description.
        seed: the seed of all random numbers in the suite.
        replicates: repetitions of each cell, numbered from 0.
        replicates_vary: whether they differ in split and training, or in training alone.
        selection: the validation pairs that choose epochs and settings.
        metrics: the `name@k` in figures; every metric at every such k is recorded.
        averaging: over users who have a test item, or over all users, the others counting 0.
        datasets, backbones, perturbations: the axes; a perturbation has one entry per level.
        losses: the losses with their training settings and search spaces.
        baselines: backbones that train nothing, evaluated under every perturbation.
        plugins: files and modules imported for it.
        text: the text of the file.
        tune: how losses are tuned.
        references: published values to compare with.
        claims: claims to confirm or refute.

    """

    name: str
    about: str
    seed: int
    replicates: tuple[int, ...]
    replicates_vary: Varies
    selection: Selection
    metrics: tuple[str, ...]
    averaging: Averaging
    datasets: tuple[Dataset, ...]
    backbones: tuple[Backbone, ...]
    losses: tuple[Entry, ...]
    perturbations: tuple[Perturbation, ...]
    baselines: tuple[Backbone, ...]
    plugins: tuple[str, ...]
    text: str
    tune: Tuning
    references: tuple[Published, ...] = ()
    claims: tuple[Claim, ...] = ()

    @property
    def ks(self) -> tuple[int, ...]:
        """The list lengths of recorded metrics, including 20, which selects epochs."""
        return tuple(sorted({parse(metric)[1] for metric in self.metrics} | {SELECT_AT}))

    @property
    def n_cells(self) -> int:
        """The number of cells of the whole suite."""
        met = sum(
            takes_part(entry, one) for _, entry in self.trainings for one in self.perturbations
        )
        return len(self.datasets) * met * len(self.replicates)

    @property
    def not_applicable(self) -> list[tuple[Entry, Perturbation]]:
        """Losses and perturbations without common cells, each perturbation once for all levels."""
        names: dict[str, Perturbation] = {}
        for one in self.perturbations:
            names.setdefault(spec_once(one, without="level"), one)
        return [
            (entry, one)
            for entry, one in product(self.losses, names.values())
            if not takes_part(entry, one)
        ]

    @property
    def trainings(self) -> list[tuple[Backbone, Entry]]:
        """All (backbone, loss) to train: each backbone with each loss, then the baselines."""
        nothing = Entry(LOSSES[UNTRAINED](), TrainConfig())
        return [*product(self.backbones, self.losses), *product(self.baselines, [nothing])]

    @property
    def labels(self) -> dict[str, dict[str, str]]:
        """The labels of components in results: axis -> full spec -> label."""
        losses = {entry.text: entry.label for _, entry in self.trainings}
        return {
            "dataset": {spec_once(one): label_of(one) for one in self.datasets},
            "backbone": {
                spec_once(one): label_of(one) for one in [*self.backbones, *self.baselines]
            },
            "loss": distinct_labels(losses),
            "perturbation": {
                spec_once(one, without="level"): label_of(one, without=["level"])
                for one in self.perturbations
            },
        }

    def cells(
        self,
        fingerprints: Mapping[Dataset, str],
        choose: Callable[[Cell, Entry], Cell] = lambda cell, _: cell,
    ) -> list[Cell]:
        """Return the cells of the data sets in `fingerprints`, in the file's order.

        If a loss is tuned, `choose` replaces a cell's first candidates with the chosen settings.
        """
        ks = self.ks

        def cell(entry: Entry, **rest: Any) -> Cell:
            made = Cell(
                loss=entry.loss,
                training=entry.training,
                seed=self.seed,
                ks=ks,
                replicates_vary=self.replicates_vary,
                selection=self.selection,
                **rest,
            )
            return choose(made, entry) if entry.space else made

        return [
            cell(
                entry,
                dataset=dataset,
                fingerprint=fingerprints[dataset],
                backbone=backbone,
                perturbation=perturbation,
                replicate=replicate,
            )
            for dataset, (backbone, entry), perturbation, replicate in product(
                (dataset for dataset in self.datasets if dataset in fingerprints),
                self.trainings,
                self.perturbations,
                self.replicates,
            )
            if takes_part(entry, perturbation)
        ]


def takes_part(entry: Entry, perturbation: Perturbation) -> bool:
    """Say whether a perturbation can affect a loss: contaminated negatives need negatives.

    Baselines are evaluated under every perturbation, to compare losses with.
    """
    loss = entry.loss
    return not loss.learns or loss.draws_negatives or perturbation.acts_through != "negatives"
