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

#: Methods that are not as printed by default, and what sets them back: images of the source count by its own mix of
#: classes, adversaries and the Fisher loss by the weights of DeepMerge II, and MCC has the temperature of its paper.
PRINTED: Mapping[str, Mapping[str, Any]] = {
    "mmd": {},
    "mmd_f": {"fisher": {"within": 0.01}},
    "adversarial": {"weights": {"adversary": 1.0}},
    "adversarial_f": {"weights": {"adversary": 1.0}, "fisher": {"within": 0.01}},
    "coral": {},
    "cdan": {"weights": {"conditional_adversary": 1.0}},
    "mcc": {"confusion_temperature": 2.5},
}
#: By default, where the same experiment has rows as printed.
DEFAULT = "default"

#: Methods for targets with the source's classes, and for those with others too.
CLOSED = ("source_only", "mmd", "mmd_f", "adversarial", "adversarial_f", "coral", "cdan", "mcc", "deepastrouda")
OPEN = ("source_only", "dance", "ovanet", "deepastrouda")

#: Kinds of hostile targets; wrong order of bands comes last, digits have one band.
HOSTILE_CASES = ("mix", "fifty", "one", "unrelated", "same", "bands")

#: Of these those that are noisier than the source.
NOISIER = {"sdss": ("mix", "fifty", "one"), "digits": ("unrelated",)}

#: The same with strangers made of galaxies, which no digit is like, and with no class that may vanish from the answers.
STRANGERS = "strangers"
BALANCED = "balanced"
#: With the weight of clustering for targets that have the source's classes and no others.
SHARED = "shared"
#: The same with images of the source as noisy as the target's, where that is not the default.
NOISY = "noise"
WITH_STRANGERS = (*(f"{name}/{STRANGERS}" for name in OPEN), f"deepastrouda/{BALANCED}-{STRANGERS}")
OPEN_GALAXIES = (*OPEN, f"deepastrouda/{BALANCED}", *WITH_STRANGERS)

#: Where the target is noisier: the twins of the methods that adapt, whose views have its noise by default.
TWINS = (f"source_only/{NOISY}", f"source_only/{NOISY}-{STRANGERS}")

#: Experiments of the table that are done once more with longer trainings, those of few classes, and how many times
#: longer these are.
GALAXIES = ("sdss-worse", "mock-ten")
FEW = ("mock-y1-y10", "mock-y10-y1")
LONGER_BY = 3

#: Methods that the guard is tried on.
GUARDED = ("source_only", "deepastrouda", "mmd", "adversarial")

#: Settings that all experiments share.
COMMON: Mapping[str, Any] = {
    "network": {"encoder": "deepmerge"},
    "optimiser": {"learning_rate": 2e-3, "weight_decay": 1e-2},
    "fit": {"batch_size": 64},
    "split": {"train": 0.6, "validation": 0.15, "test": 0.25, "stratified": False},
}
#: Sets of a thousand images need more steps than they have batches.
SMALL = {"batch_size": 32}
DIGIT_VIEWS = {"turn": False, "flip": False, "zoom": 1.17, "shift": 2.0}
#: A network that is right of as many of the source's images as DeepMerge's, or more.
RESIDUAL: Mapping[str, Any] = {"encoder": "resnet18", "encoder_options": {"channels": [16, 32, 64, 128]}}
#: Simulated targets are noisier by what was added. What losses are worth there is asked without noise in the views.
AS_THEY_ARE = {"noise": 0.0}


def _variant(
    clustering: float = 1.0,
    separation: float = 0.1,
    neighbourhood: float = 0.0,
    norm: str = "mixed",
    head: str = "linear",
    **options: Any,
) -> Mapping[str, Any]:
    weights = {"clustering": clustering, "separation": separation, "neighbourhood": neighbourhood}
    tuner = {"tuner": options.pop("tuner", "bounded")}
    method = {"weights": weights, "clustering": {"top": 3} | options, "separation": tuner}
    return {"method": method, "network": {"batch_norm": norm, "head": head}}


#: Settings of DeepAstroUDA for its ablation: one that differs from ``start`` in each. Neighbours are a default since.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "start": _variant(),
    "top-1": _variant(top=1, alike_below=1.0),
    "top-2": _variant(top=2),
    "top-3-apart": _variant(ambiguous="apart"),
    "set-3": _variant(top=3, match="set"),
    "feature-set-5": _variant(space="feature", match="set", top=5),
    "clustering-3": _variant(clustering=3.0),
    "clustering-10": _variant(clustering=10.0),
    "separation-0": _variant(separation=0.0),
    "separation-0.3": _variant(separation=0.3),
    "neighbours": _variant(neighbourhood=0.1),
    "norm-shared": _variant(norm="shared"),
    "norm-domain": _variant(norm="domain"),
    "cosine": _variant(head="cosine"),
    "no-bank": _variant(bank=False),
    "adversarial": _variant(adversarial=True),
    "tuner-off": _variant(tuner="off"),
    "tuner-paper": _variant(tuner="paper"),
    "warm-up-0.2": _variant(),
    "warm-up-0.6": _variant(),
    f"start-{NOISY}": _variant(),
}
#: What is added to a method.
ADDED: Mapping[str, Mapping[str, Any]] = {
    STRANGERS: {"method": {"weights": {"strangers": 0.5}}},
    BALANCED: {"method": {"weights": {"balance": 0.3}}},
    f"{BALANCED}-{STRANGERS}": {"method": {"weights": {"strangers": 0.5, "balance": 0.3}}},
    SHARED: {"method": {"weights": {"clustering": 10.0}}},
    NOISY: {},
    f"{NOISY}-{STRANGERS}": {"method": {"weights": {"strangers": 0.5}}},
    DEFAULT: {},
}

#: Share of the training that warm-up takes, where that is what differs.
WARM_UP: Mapping[str, float] = {"warm-up-0.2": 0.2, "warm-up-0.6": 0.6}


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
    test : str
        The set that the target's measures are taken on, all of it; by default the test part of `target`.
    more_known, more_private : str
        Sets of objects that no label is learned of: those of known classes, as the source shows them, the source's
        measures are taken on beside its test part, those of `private` classes, as the target shows them, the target's.
    printed : bool
        Whether methods are as in `PRINTED`, but for the variant `DEFAULT`.
    """

    title: str
    source: str
    target: str
    classes: tuple[str, ...]
    epochs: int
    private: tuple[str, ...] = ()
    methods: tuple[str, ...] = CLOSED
    settings: Mapping[str, Any] = field(default_factory=dict)
    test: str = ""
    more_known: str = ""
    more_private: str = ""
    printed: bool = False

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
            "method": {"name": name},
        }
        # Options of DeepAstroUDA are no other method's.
        as_it_is = not variant or (variant in WARM_UP and name != "deepastrouda")
        for tables in (self.settings, {} if as_it_is else {**VARIANTS, **ADDED}[variant]):
            for table, settings in tables.items():
                values[table] = values.get(table, {}) | dict(settings)
        if self.printed and name in PRINTED and variant != DEFAULT:
            values["method"] |= {"target_mix": "source", **PRINTED[name]}
        if NOISY in variant:
            values["views"] = values.get("views", {}) | {"noise": "target"}
        if variant in WARM_UP:
            values["method"]["warmup_epochs"] = WARM_UP[variant] * self.epochs
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
    pictures: dict[str, Any] = {"stretch": {"kind": "linear", "low": 0.0, "high": 1.0}, "views": DIGIT_VIEWS}
    closed: dict[str, Any] = {
        "classes": DIGITS,
        "methods": (*CLOSED, f"deepastrouda/{SHARED}", *(f"{name}/{DEFAULT}" for name in PRINTED)),
        "settings": pictures,
        "printed": True,
    }
    opened: dict[str, Any] = {
        "classes": KNOWN_DIGITS,
        "private": PRIVATE_DIGITS,
        "methods": OPEN,
        "settings": pictures | {"network": RESIDUAL},
    }
    return {
        "digits-closed-mnist": Experiment("MNIST → USPS", "digits/mnist", "digits/usps", epochs=8, **closed),
        "digits-closed-usps": Experiment("USPS → MNIST", "digits/usps", "digits/mnist", epochs=5, **closed),
        "digits-open-mnist": Experiment("MNIST 0–5 → USPS 0–9", "digits/mnist", "digits/usps", epochs=12, **opened),
        "digits-open-usps": Experiment("USPS 0–5 → MNIST 0–9", "digits/usps", "digits/mnist", epochs=7, **opened),
    }


def _sdss() -> dict[str, Experiment]:
    settings = {"stretch": {"kind": "linear", "low": 0.0, "high": 255.0}, "fit": SMALL}
    there, back = _pair(
        "SDSS ↔ SDSS observed worse",
        "sdss/a",
        "sdss/b_worse",
        classes=SHAPES,
        private=("merger",),
        epochs=24,
        methods=OPEN_GALAXIES,
        settings=settings,
        # A test part has thirteen mergers; those of the source's half no training sees.
        more_known="sdss/b",
        more_private="sdss/a_worse",
    )
    back = dataclasses.replace(
        back, source="sdss/a_worse", target="sdss/b", more_known="sdss/b_worse", more_private="sdss/a"
    )
    return {"sdss-worse": dataclasses.replace(there, methods=(*OPEN_GALAXIES, *TWINS)), "sdss-better": back}


def _mocks() -> dict[str, Experiment]:
    ten = Experiment(
        "mock SDSS → mock DECaLS, lens unknown",
        "mocks/sdss",
        "mocks/decals",
        FINE,
        20,
        private=("lens",),
        methods=(*OPEN_GALAXIES, f"dance/{BALANCED}-{STRANGERS}"),
        settings={"fit": SMALL},
    )
    lsst: dict[str, Any] = {
        "classes": ("spiral", "elliptical"),
        "private": ("merger",),
        "epochs": 20,
        "methods": OPEN_GALAXIES,
        "settings": {"fit": SMALL},
    }
    to_ten, to_one = _pair("LSST mock, 1 year ↔ LSST mock, 10 years", "mocks/y1", "mocks/y10", **lsst)
    to_one = dataclasses.replace(to_one, methods=(*OPEN_GALAXIES, *TWINS))
    mergers = Experiment(
        "mergers, pristine → noisy",
        "mocks/pristine",
        "mocks/noisy",
        ("other", "merger"),
        20,
        methods=(
            "source_only",
            "mmd",
            "mmd_f",
            "adversarial",
            "adversarial_f",
            "deepastrouda",
            f"deepastrouda/{BALANCED}",
            f"deepastrouda/{SHARED}",
            TWINS[0],
        ),
        settings={"fit": SMALL},
    )
    return {"mock-ten": ten, "mock-y1-y10": to_ten, "mock-y10-y1": to_one, "mock-mergers": mergers}


def _simulated() -> dict[str, Experiment]:
    pictures = {"stretch": {"kind": "linear", "low": 0.0, "high": 1.0}, "views": DIGIT_VIEWS | AS_THEY_ARE}
    digits = ("simulated/digits_source", "simulated/digits_target")
    galaxies = ("simulated/galaxies_source", "simulated/galaxies_target")
    others = ("source_only", "mmd", "dance", "dance/warm-up-0.2", "ovanet", "ovanet/warm-up-0.2")
    noisy = (f"source_only/{NOISY}", f"deepastrouda/{NOISY}")
    ablation = (*others, *(f"deepastrouda/{name}" for name in VARIANTS), *noisy)
    return {
        "simulated-digits-closed": Experiment(
            "digits made worse", *digits, DIGITS, epochs=12, methods=ablation, settings=pictures
        ),
        "simulated-digits-open": Experiment(
            "digits made worse, 6–9 unknown",
            *digits,
            KNOWN_DIGITS,
            epochs=20,
            private=PRIVATE_DIGITS,
            methods=ablation,
            settings=pictures,
        ),
        "simulated-strokes": Experiment(
            "digits bolder and slanted, 6–9 unknown",
            digits[0],
            "simulated/strokes_target",
            KNOWN_DIGITS,
            epochs=20,
            private=PRIVATE_DIGITS,
            methods=ablation,
            settings=pictures,
        ),
        "simulated-galaxies": Experiment(
            "mock galaxies made worse, lens unknown",
            *galaxies,
            FINE,
            epochs=24,
            private=("lens",),
            methods=ablation,
            settings={"views": AS_THEY_ARE},
        ),
    }


def _hostile(simulated: bool) -> dict[str, Experiment]:
    digits: dict[str, Any] = {
        "source": "simulated/digits_source" if simulated else "digits/mnist",
        "classes": DIGITS,
        "epochs": 10 if simulated else 8,
        "settings": {"stretch": {"kind": "linear", "low": 0.0, "high": 1.0}, "views": dict(DIGIT_VIEWS)},
    }
    galaxies: dict[str, Any] = {"source": "sdss/a", "classes": SHAPES, "private": ("merger",), "epochs": 24}
    galaxies |= {"more_known": "sdss/b"}
    galaxies |= {"settings": {"stretch": {"kind": "linear", "low": 0.0, "high": 255.0}, "fit": SMALL}}
    if simulated:
        galaxies = {"source": "simulated/galaxies_source", "classes": FINE, "private": ("lens",), "epochs": 24}
        galaxies |= {"settings": {"fit": SMALL, "views": AS_THEY_ARE}}
        digits["settings"]["views"] |= AS_THEY_ARE
    places = {"digits": "digits/usps", "sdss": "sdss/b_worse"}
    if simulated:
        places = {"simdigits": "simulated/digits_target", "simgalaxies": "simulated/galaxies_target"}
    found = {}
    for kind, place in places.items():
        for case in HOSTILE_CASES if "digits" not in kind else HOSTILE_CASES[:-1]:
            # Where the target has no known class, or few images, the measures are of what the user is after.
            test = place if case in ("fifty", "unrelated") else f"hostile/{kind}_{case}"
            settings = digits if "digits" in kind else galaxies
            twins = TWINS[:1] if case in NOISIER.get(kind, ()) else ()
            found[f"hostile-{kind}-{case}"] = Experiment(
                f"{kind}: {case}", target=f"hostile/{kind}_{case}", methods=(*GUARDED, *twins), test=test, **settings
            )
    return found


def lengthened(experiment: Experiment, times: int, tilt: float) -> Experiment:
    """The same with so many times the steps, and views tilted by up to so many degrees."""
    views = {**experiment.settings.get("views", {}), "tilt": tilt}
    settings = {**experiment.settings, "views": views}
    return dataclasses.replace(experiment, epochs=times * experiment.epochs, settings=settings)


def _longer(experiment: Experiment, methods: tuple[str, ...]) -> Experiment:
    """An experiment of galaxies trained for longer, with these methods and their twins."""
    strange = methods is WITH_STRANGERS
    twins = [name for name in TWINS if name in experiment.methods and (STRANGERS in name) == strange]
    return dataclasses.replace(lengthened(experiment, LONGER_BY, 45.0), methods=(*methods, *twins))


#: Targets that a model may be harmed by.
HOSTILE: Mapping[str, Experiment] = _hostile(simulated=False)

#: The like, simulated on labelled data, where the guard's limits are chosen.
REHEARSAL: Mapping[str, Experiment] = _hostile(simulated=True)

#: Where the defaults are chosen.
ABLATION: Mapping[str, Experiment] = _simulated()

#: The table.
TABLE: Mapping[str, Experiment] = {**_digits(), **_sdss(), **_mocks()}

#: Those of galaxies with unknown classes once more, trained for longer and on every orientation; with strangers but
#: where classes are two, of which these tell nothing.
LONGER: Mapping[str, Experiment] = {
    f"longer-{name}": _longer(TABLE[name], methods)
    for names, methods in ((GALAXIES, WITH_STRANGERS), (FEW, OPEN))
    for name in names
}

#: Every experiment by name.
EXPERIMENTS: Mapping[str, Experiment] = {**TABLE, **LONGER, **ABLATION, **HOSTILE, **REHEARSAL}

#: What a choice may be tried on in full, of labelled data alone: of SDSS the same galaxies in source and target, each
#: in one part.
TRIALS: Mapping[str, Experiment] = {
    "digits": ABLATION["simulated-digits-open"],
    "mock galaxies": ABLATION["simulated-galaxies"],
    "SDSS": dataclasses.replace(
        TABLE["sdss-worse"],
        target="sdss/a_worse",
        more_known="",
        more_private="",
        settings={**TABLE["sdss-worse"].settings, "views": AS_THEY_ARE},
    ),
}
#: A case more, for what acts on classes that are few: another survey's mock, of two.
FEW_CLASSES = Experiment(
    "LSST mock galaxies made worse, merger unknown",
    "simulated/years_source",
    "simulated/years_target",
    ("spiral", "elliptical"),
    epochs=24,
    private=("merger",),
    methods=OPEN,
    settings={"fit": SMALL, "views": AS_THEY_ARE},
)
#: Methods of the trials.
TRIED = ("source_only", "deepastrouda/start")
