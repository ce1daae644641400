"""The experiments of the table of adaptation: which data, which methods, which settings."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from galmorph.training.methods import METHODS
from galmorph.training.recipe import Recipe, parse_recipe

#: Beside the methods: `source_only` with the labels of the target, an upper bound that no user can reach.
SUPERVISED = "target_supervised"

DIGITS = tuple("0123456789")
KNOWN_DIGITS, PRIVATE_DIGITS = DIGITS[:6], DIGITS[6:]
SHAPES = ("spiral", "elliptical", "edge_on")
FINE = (
    "disturbed",
    "merging",
    "round_smooth",
    "cigar_smooth",
    "barred_spiral",
    "tight_spiral",
    "loose_spiral",
    "edge_on_no_bulge",
    "edge_on_bulge",
)

#: Methods for targets with the source's classes, and for those with others too.
CLOSED = ("source_only", "mmd", "mmd_f", "adversarial", "adversarial_f", "coral", "cdan", "mcc", "deepastrouda")
OPEN = ("source_only", "dance", "ovanet", "deepastrouda")

#: Settings that all experiments share. The first half of the training is warm-up and ramp.
COMMON: Mapping[str, Any] = {
    "network": {"encoder": "deepmerge"},
    "optimiser": {"learning_rate": 2e-3, "weight_decay": 1e-2},
    "fit": {"batch_size": 64},
    "split": {"train": 0.6, "validation": 0.15, "test": 0.25, "stratified": False},
}
DIGIT_VIEWS = {"turn": False, "flip": False, "zoom": 1.17, "shift": 2.0}


#: Settings of DeepAstroUDA that differ from its defaults, for its ablation.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "clustering-0.5": {"method": {"weights": {"clustering": 0.5}}},
    "clustering-1": {"method": {"weights": {"clustering": 1.0}}},
    "clustering-4": {"method": {"weights": {"clustering": 4.0}}},
    "separation-0": {"method": {"weights": {"separation": 0.0}}},
    "separation-0.03": {"method": {"weights": {"separation": 0.03}}},
    "separation-0.3": {"method": {"weights": {"separation": 0.3}}},
    "top-2": {"method": {"clustering": {"top": 2}}},
    "set-3": {"method": {"clustering": {"match": "set"}}},
    "feature-set-5": {"method": {"clustering": {"space": "feature", "match": "set", "top": 5}}},
    "no-bank": {"method": {"clustering": {"bank": False}}},
    "adversarial": {"method": {"clustering": {"adversarial": True}}},
    "tuner-off": {"method": {"separation": {"tuner": "off"}}},
    "tuner-paper": {"method": {"separation": {"tuner": "paper"}}},
    "cosine": {"network": {"head": "cosine"}},
    "norm-shared": {"network": {"batch_norm": "shared"}},
    "norm-domain": {"network": {"batch_norm": "domain"}},
}


@dataclass(frozen=True)
class Experiment:
    """A source, a target, and what is known of them.

    Parameters
    ----------
    title : str
        For the table.
    source, target : str
        Sets of cutouts, below the folder of data.
    classes : tuple of str
        Known classes.
    epochs : int
        For about the same number of steps in all experiments.
    private : tuple of str
        Classes that only the target has as far as the training knows; left out of the source.
    methods : tuple of str
        Those compared.
    settings : mapping
        Tables of the recipe that differ from `COMMON`.
    """

    title: str
    source: str
    target: str
    classes: tuple[str, ...]
    epochs: int
    private: tuple[str, ...] = ()
    methods: tuple[str, ...] = CLOSED
    settings: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self, method: str, seed: int, data: Path) -> Recipe:
        """The recipe of one training.

        Parameters
        ----------
        method : str
            A key of `METHODS`, or `SUPERVISED`.
        seed : int
            Of everything random.
        data : Path
            Folder of all data.

        Returns
        -------
        Recipe
            Ready for `galmorph.training.fit.train`.
        """
        supervised = method == SUPERVISED
        name, _, variant = ("source_only" if supervised else method).partition("/")
        values: dict[str, Any] = {
            "name": "benchmark",
            "seed": seed,
            "source": {
                "path": self.target if supervised else self.source,
                "classes": self.classes,
                "private": self.private,
            },
            **{key: dict(table) for key, table in COMMON.items()},
            "method": {"name": name, "warmup_epochs": 0.2 * self.epochs, "ramp_epochs": 0.3 * self.epochs},
        }
        for tables in (self.settings, VARIANTS[variant] if variant else {}):
            for table, settings in tables.items():
                values[table] = values.get(table, {}) | dict(settings)
        values["fit"] |= {"epochs": self.epochs, "patience": self.epochs}
        if METHODS[name].adapts:
            values["target"] = {"path": self.target}
        return parse_recipe(values, folder=data)


def _pair(title: str, one: str, other: str, **settings: Any) -> tuple[Experiment, Experiment]:
    """An experiment in both directions."""
    first, second = title.split(" ↔ ")
    there = Experiment(title=f"{first} → {second}", source=one, target=other, **settings)
    return there, dataclasses.replace(there, title=f"{second} → {first}", source=other, target=one)


def _digits() -> dict[str, Experiment]:
    pictures = {"stretch": {"kind": "linear", "low": 0.0, "high": 1.0}, "views": DIGIT_VIEWS}
    opened: dict[str, Any] = {
        "classes": KNOWN_DIGITS,
        "private": PRIVATE_DIGITS,
        "methods": OPEN,
        "settings": pictures,
    }
    return {
        "digits-closed-mnist": Experiment("MNIST → USPS", "digits/mnist", "digits/usps", DIGITS, 8, settings=pictures),
        "digits-closed-usps": Experiment("USPS → MNIST", "digits/usps", "digits/mnist", DIGITS, 5, settings=pictures),
        "digits-open-mnist": Experiment("MNIST 0–5 → USPS 0–9", "digits/mnist", "digits/usps", epochs=12, **opened),
        "digits-open-usps": Experiment("USPS 0–5 → MNIST 0–9", "digits/usps", "digits/mnist", epochs=7, **opened),
    }


def _sdss() -> dict[str, Experiment]:
    settings = {"stretch": {"kind": "linear", "low": 0.0, "high": 255.0}}
    there, back = _pair(
        "SDSS ↔ SDSS observed worse",
        "sdss/a",
        "sdss/b_worse",
        classes=SHAPES,
        private=("merger",),
        epochs=24,
        methods=OPEN,
        settings=settings,
    )
    back = dataclasses.replace(back, source="sdss/a_worse", target="sdss/b")
    return {"sdss-worse": there, "sdss-better": back}


def _mocks() -> dict[str, Experiment]:
    ten = Experiment(
        "mock SDSS → mock DECaLS, lens unknown",
        "mocks/sdss",
        "mocks/decals",
        FINE,
        20,
        private=("lens",),
        methods=OPEN,
    )
    lsst: dict[str, Any] = {
        "classes": ("spiral", "elliptical"),
        "private": ("merger",),
        "epochs": 20,
        "methods": OPEN,
    }
    to_ten, to_one = _pair("LSST mock, 1 year ↔ LSST mock, 10 years", "mocks/y1", "mocks/y10", **lsst)
    mergers = Experiment(
        "mergers, pristine → noisy",
        "mocks/pristine",
        "mocks/noisy",
        ("other", "merger"),
        20,
        methods=("source_only", "mmd", "mmd_f", "adversarial", "adversarial_f", "deepastrouda"),
    )
    return {"mock-ten": ten, "mock-y1-y10": to_ten, "mock-y10-y1": to_one, "mock-mergers": mergers}


def _simulated() -> dict[str, Experiment]:
    pictures = {"stretch": {"kind": "linear", "low": 0.0, "high": 1.0}, "views": DIGIT_VIEWS}
    digits = ("simulated/digits_source", "simulated/digits_target")
    galaxies = ("simulated/galaxies_source", "simulated/galaxies_target")
    ablation = ("source_only", "deepastrouda", *(f"deepastrouda/{name}" for name in VARIANTS))
    return {
        "simulated-digits-closed": Experiment(
            "digits made worse", *digits, DIGITS, epochs=10, methods=ablation, settings=pictures
        ),
        "simulated-digits-open": Experiment(
            "digits made worse, 6–9 unknown",
            *digits,
            KNOWN_DIGITS,
            epochs=16,
            private=PRIVATE_DIGITS,
            methods=ablation,
            settings=pictures,
        ),
        "simulated-galaxies": Experiment(
            "mock galaxies made worse, lens unknown", *galaxies, FINE, epochs=24, private=("lens",), methods=ablation
        ),
    }


#: Where the defaults are chosen.
ABLATION: Mapping[str, Experiment] = _simulated()

#: Every experiment by name.
EXPERIMENTS: Mapping[str, Experiment] = {**_digits(), **_sdss(), **_mocks(), **ABLATION}
