import copy
import dataclasses
import math

import pytest
import torch

from galmorph.errors import ConfigError
from galmorph.training import losses
from galmorph.training.heads import CosineHead
from galmorph.training.method_options import (
    ClusteringOptions,
    DiscriminatorOptions,
    FisherOptions,
    MethodOptions,
    SeparationOptions,
)
from galmorph.training.methods import METHODS, TERMS, Objective
from galmorph.training.networks import Activations, build_network
from galmorph.training.options import NetworkOptions
from galmorph.training.outputs import Outputs, Seen
from galmorph.training.stretch import Stretch
from galmorph.training.terms import Setting

COUNTS = [1, 2, 3]
SETTING = Setting(COUNTS, target_images=8, embedding=7, features=5)


def activations(n: int, seed: int) -> Activations:
    generator = torch.Generator().manual_seed(seed)
    shapes = (7,), (5,), (3,), (3, 2)
    return Activations(*(torch.randn(n, *shape, generator=generator, requires_grad=True) for shape in shapes))


@pytest.fixture
def outputs() -> Outputs:
    return Outputs(
        source=Seen(torch.arange(6), activations(6, 0), activations(6, 1)),
        labels=torch.arange(6) % 3,
        target=Seen(torch.tensor([7, 0, 3, 2, 5]), activations(5, 2), activations(5, 3)),
        head=CosineHead(5, 3),
        progress=0.5,
        strangers=activations(4, 4),
    )


def make(name="source_only", setting=SETTING, **options):
    torch.manual_seed(0)
    return Objective(MethodOptions(name=name, **options), setting)


@pytest.mark.parametrize("counts", [[5, 5, 5], [24, 3, 3], [294, 3, 3], [7]])
def test_weights_are_relative_to_the_plain_cross_entropy_however_uneven_classes_are(counts):
    """By the cross-entropies themselves, of a network that knows nothing."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    logits = torch.zeros(len(labels), len(counts))
    if len(counts) == 1:  # ln 1: both are 0
        assert Setting(counts).scale == 1
        return
    weighted = losses.weighted_cross_entropy(logits, labels, losses.class_weights(counts))
    plain = torch.nn.functional.cross_entropy(logits, labels)
    assert Setting(counts).scale == pytest.approx(float(plain / weighted), rel=1e-5)
    made = Objective(MethodOptions(name="mmd"), Setting(counts)).weights["mmd"]
    assert made == pytest.approx(float(weighted / plain), rel=1e-5)
    even = Objective(MethodOptions(name="mmd", class_weights=False), Setting(counts)).weights["mmd"]
    assert even == pytest.approx(1 / len(counts))


def test_every_method_names_losses_that_exist():
    assert all(set(method.losses) <= set(TERMS) for method in METHODS.values())
    added = {"strangers", "balance"}
    assert {name for method in METHODS.values() for name in method.losses} | added == set(TERMS)


def test_methods_of_both_papers_and_the_common_ones_are_there():
    papers = {"source_only", "mmd", "mmd_f", "adversarial", "adversarial_f", "dance", "deepastrouda"}
    assert set(METHODS) == papers | {"coral", "cdan", "mcc", "ovanet"}
    assert [name for name, method in METHODS.items() if not method.adapts] == ["source_only"]


@pytest.mark.parametrize("name", METHODS)
def test_an_objective_adapts_as_its_method_does_and_weighs_beside_the_cross_entropy(name):
    objective = make(name)
    assert objective.adapts == METHODS[name].adapts
    assert objective.weights["cross_entropy"] == 1


def test_source_only_is_the_weighted_cross_entropy(outputs):
    total, parts, _ = make(label_smoothing=0.1)(outputs)
    logits = outputs.source.first.logits
    expected = losses.weighted_cross_entropy(logits, outputs.labels, losses.class_weights(COUNTS), 0.1)
    torch.testing.assert_close(total, expected)
    assert set(parts) == {"cross_entropy"}


def test_weight_scales_the_total_and_not_the_part(outputs):
    plain, parts, _ = make()(outputs)
    scaled, scaled_parts, _ = make(weights={"cross_entropy": 2.5})(outputs)
    torch.testing.assert_close(scaled, 2.5 * plain)
    assert scaled_parts == parts


def test_without_class_weights_all_classes_count_alike(outputs):
    first, *_ = make(class_weights=False)(outputs)
    second, *_ = make(setting=dataclasses.replace(SETTING, counts=[4, 4, 4]))(outputs)
    torch.testing.assert_close(first, second)


def test_losses_that_adapt_are_relative_to_the_plain_cross_entropy(outputs):
    """With equal classes the total is that of plain losses, divided by K."""
    total, *_ = make("mmd", weights={"mmd": 0.7}, class_weights=False)(outputs)
    plain = torch.nn.functional.cross_entropy(outputs.source.first.logits, outputs.labels)
    mmd = losses.mmd(outputs.source.first.embedding, outputs.target.first.embedding)
    torch.testing.assert_close(total, (plain + 0.7 * mmd) / 3)


@pytest.mark.parametrize("name", METHODS)
def test_during_the_warm_up_only_the_source_counts(outputs, name):
    objective = make(name)
    total, parts, _ = objective(outputs, adapting=0.0)
    on_source = sum(objective.weights[term] * parts[term] for term in parts if not TERMS[term].adapts)
    torch.testing.assert_close(total, on_source)


@pytest.mark.parametrize("name", METHODS)
def test_the_target_has_a_gradient_if_the_method_adapts(outputs, name):
    make(name)(outputs)[0].backward()
    views = outputs.target.first, outputs.target.second
    touched = any(value.grad is not None and value.grad.abs().sum() > 0 for view in views for value in view)
    assert touched == METHODS[name].adapts


def test_closed_set_terms_are_the_losses(outputs):
    source, target = outputs.source.first, outputs.target.first
    expected = {
        "coral": losses.coral(source.embedding, target.embedding),
        "confusion": losses.class_confusion(target.logits, 1.0),
        "entropy": losses.entropy_minimisation(target.logits),
        "open_entropy": losses.open_entropy(target.open_logits),
        "one_vs_all": 0.5 * losses.one_vs_all_loss(source.open_logits, outputs.labels),
        "fisher": losses.fisher_ratio(
            source.embedding, outputs.labels, *losses.class_centroids(source.embedding, outputs.labels, 3), 0.001, 1.0
        ),
    }
    found = {}
    for name in ("coral", "mcc", "mmd_f", "ovanet"):
        found |= make(name, target_mix="source")(outputs)[1]
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_learned_centroids_take_the_place_of_those_of_the_batch(outputs):
    """All of them count, whichever classes are in the batch."""
    outputs = dataclasses.replace(outputs, labels=torch.zeros(6, dtype=torch.int64))
    term = make("mmd_f", fisher=FisherOptions(centroids="learned", within=0.2, between=3.0)).terms["fisher"]
    value, _ = term(outputs)
    embedding = outputs.source.first.embedding
    scatter = ((embedding - term.centroids[0]) ** 2).sum(), ((term.centroids - term.centroids.mean(0)) ** 2).sum()
    torch.testing.assert_close(value, 0.2 * scatter[0] / (3.0 * scatter[1]))


@pytest.mark.parametrize("name", METHODS)
def test_second_views_are_for_clustering_alone_and_open_classifiers_for_ovanet(name):
    assert make(name).second == (name == "deepastrouda")
    assert METHODS[name].open_head == (name == "ovanet")


@pytest.mark.parametrize(("reversal", "strength"), [("constant", 1.0), ("ramp", losses.reversal_ramp(0.5))])
def test_the_network_gets_the_reversed_gradient_of_the_discriminator(outputs, reversal, strength):
    options = DiscriminatorOptions(reversal=reversal)
    objective = make("adversarial", discriminator=options, target_mix="source").eval()
    term = objective.terms["adversary"]
    value, facts = term(outputs)
    value.backward()
    reversed_gradient = outputs.source.first.embedding.grad.clone()
    source, target = (seen.first.embedding.detach().requires_grad_(True) for seen in (outputs.source, outputs.target))
    plain = losses.domain_loss(term.discriminator(source), term.discriminator(target))
    plain.backward()
    torch.testing.assert_close(value, plain)
    torch.testing.assert_close(reversed_gradient, -strength * source.grad)
    right = [(sign * term.discriminator(each) > 0).float().mean() for sign, each in ((1, source), (-1, target))]
    torch.testing.assert_close(facts["discriminator_accuracy"], sum(right) / 2)
    assert not facts["discriminator_accuracy"].requires_grad


def test_long_features_take_the_randomised_map(outputs):
    objective = make("cdan", setting=dataclasses.replace(SETTING, embedding=2000))
    assert objective.terms["conditional_adversary"].discriminator[0].in_features == 1024
    assert make("cdan").terms["conditional_adversary"].discriminator[0].in_features == 21
    longest = make("cdan", setting=Setting([1, 1], embedding=2048)).terms["conditional_adversary"]
    assert (longest.randomised, longest.discriminator[0].in_features) == (False, 4096)


@pytest.mark.parametrize("embedding", [7, 2000])
def test_the_conditional_discriminator_sees_features_with_predictions_held_constant(outputs, embedding):
    def seen(domain, seed):
        longer = torch.randn(len(domain.rows), embedding, generator=torch.Generator().manual_seed(seed))
        return dataclasses.replace(domain, first=domain.first._replace(embedding=longer.requires_grad_(True)))

    outputs = dataclasses.replace(outputs, source=seen(outputs.source, 5), target=seen(outputs.target, 6))
    setting = dataclasses.replace(SETTING, embedding=embedding)
    term = make("cdan", setting=setting, target_mix="source").eval().terms["conditional_adversary"]
    value, _ = term(outputs)
    matrices = (term.first, term.second_matrix) if term.randomised else ()
    join = losses.randomised_map if term.randomised else losses.multilinear_map
    given = [(each.first.embedding, each.first.logits.softmax(1)) for each in (outputs.source, outputs.target)]
    torch.testing.assert_close(value, losses.domain_loss(*(term.discriminator(join(*x, *matrices)) for x in given)))
    value.backward()
    for each in (outputs.source, outputs.target):
        assert each.first.embedding.grad.abs().sum() > 0
        assert each.first.logits.grad is None


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.adapts])
def test_a_method_that_adapts_asks_for_a_target(outputs, name):
    with pytest.raises(ConfigError, match=r"give the recipe a table \[target\]"):
        make(name)(dataclasses.replace(outputs, target=None))


def test_rates_of_their_own():
    rated = make(
        "adversarial_f", fisher=FisherOptions(centroids="learned"), discriminator=DiscriminatorOptions(rate=0.1)
    )
    assert {name: term.rate for name, term in rated.terms.items()} == {
        "cross_entropy": 1.0, "adversary": 0.1, "fisher": 10.0, "entropy": 1.0,
    }  # fmt: skip
    assert rated.terms["fisher"].centroids.shape == (3, 7)


def clustering_by_hand(outputs, top, ordered, ambiguous, space, alike_below=1.0):
    """All pairs of the batch with itself, one at a time."""
    first = torch.cat([outputs.source.first.logits, outputs.target.first.logits]).detach().softmax(1)
    features = torch.cat([outputs.source.first.features, outputs.target.first.features]).detach()
    ranked = features if space == "feature" else first
    second = torch.cat([outputs.source.second.logits, outputs.target.second.logits]).detach().softmax(1)
    labels = [*outputs.labels.tolist(), *[None] * 5]
    entropies = [-sum(p * math.log(p) for p in row) for row in first.tolist()]
    unsure = [label is None and h > alike_below * math.log(3) for label, h in zip(labels, entropies, strict=True)]
    values, positives = [], []
    for i in range(11):
        for j in range(11):
            if i == j:
                continue
            a, b = (ranked[n].argsort(descending=True)[:top].tolist() for n in (i, j))
            alike = (a == b if ordered else set(a) == set(b)) and not (unsure[i] or unsure[j])
            if labels[i] is not None and labels[j] is not None:
                alike = labels[i] == labels[j]
            elif ambiguous == "ignored" and not alike and first[i].argmax() == first[j].argmax():
                continue
            else:
                positives.append(alike)
            score = float(second[i] @ first[j])
            values.append(-math.log(score if alike else 1 - score))
    return sum(values) / len(values), sum(positives) / len(positives)


@pytest.mark.parametrize("bank", [True, False])
@pytest.mark.parametrize("match", ["ordered", "set"])
@pytest.mark.parametrize("ambiguous", ["apart", "ignored"])
@pytest.mark.parametrize("space", ["probability", "feature"])
def test_clustering_by_hand(outputs, bank, match, ambiguous, space):
    """On the first step the bank holds the batch, so that both forms are the same."""
    options = ClusteringOptions(bank=bank, match=match, top=2, ambiguous=ambiguous, space=space)
    value, facts = make("deepastrouda", clustering=options).terms["clustering"](outputs)
    expected, positives = clustering_by_hand(outputs, 2, match == "ordered", ambiguous, space)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert facts["positive_rate"].item() == pytest.approx(positives)


@pytest.mark.parametrize("bank", [True, False])
@pytest.mark.parametrize("ambiguous", ["apart", "ignored"])
def test_unsure_images_are_alike_to_none(outputs, bank, ambiguous):
    options = ClusteringOptions(bank=bank, top=1, ambiguous=ambiguous, alike_below=0.9)
    value, facts = make("deepastrouda", clustering=options).terms["clustering"](outputs)
    expected, positives = clustering_by_hand(outputs, 1, True, ambiguous, "probability", 0.9)
    assert 0 < positives < clustering_by_hand(outputs, 1, True, ambiguous, "probability")[1]
    assert facts["positive_rate"].item() == pytest.approx(positives)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_one_rank_needs_sureness_by_default_and_more_do_not():
    two = dataclasses.replace(SETTING, counts=[4, 4])

    def limit(setting=SETTING, **options):
        return (
            make("deepastrouda", setting=setting, clustering=ClusteringOptions(**options))
            .terms["clustering"]
            .alike_below
        )

    assert limit(two) == pytest.approx(math.log(2) / 2)
    assert limit(top=1) == pytest.approx(math.log(3) / 2)
    assert limit(two, alike_below=0.2) == pytest.approx(math.log(2) / 5)
    assert limit(alike_below=0.2) == pytest.approx(math.log(3) / 5)
    assert limit(two, alike_below=1.0) == limit() == limit(top=1, space="feature") == math.inf


def test_bank_keeps_images_that_are_not_in_the_batch(outputs):
    term = make("deepastrouda").terms["clustering"]
    term(outputs)
    later = dataclasses.replace(outputs, target=dataclasses.replace(outputs.target, rows=torch.tensor([1, 4, 6, 2, 5])))
    term(later)
    assert term.bank.seen.tolist() == [True] * 14
    assert term.bank.labels.tolist() == [0, 1, 2, 0, 1, 2] + [-1] * 8


@pytest.mark.parametrize("bank", [True, False])
def test_earlier_batches_count_through_the_bank_alone(outputs, bank):
    earlier = dataclasses.replace(outputs, target=Seen(torch.tensor([1, 4, 6]), activations(3, 7), activations(3, 8)))
    options = ClusteringOptions(bank=bank, ambiguous="apart")
    term, fresh = (make("deepastrouda", clustering=options).terms["clustering"] for _ in range(2))
    term(earlier)
    assert (term(outputs)[0] == fresh(outputs)[0]).item() is not bank


def test_ranks_of_all_classes_are_never_compared(outputs):
    two = dataclasses.replace(SETTING, counts=[4, 4])
    assert make("deepastrouda", setting=two, clustering=ClusteringOptions(top=3)).terms["clustering"].top == 1
    assert make("deepastrouda", clustering=ClusteringOptions(top=9)).terms["clustering"].top == 2
    assert make("deepastrouda", clustering=ClusteringOptions(top=9, space="feature")).terms["clustering"].top == 5


def test_adversarial_clustering_reverses_the_gradient_of_the_classifier_only(outputs):
    head = outputs.head

    def gradients(adversarial):
        head.zero_grad()
        features = outputs.target.second.features.detach().requires_grad_(True)
        logits = head(features)
        second = outputs.target.second._replace(features=features, logits=logits)
        source = outputs.source.second._replace(logits=head(outputs.source.second.features))
        changed = dataclasses.replace(
            outputs,
            target=dataclasses.replace(outputs.target, second=second),
            source=dataclasses.replace(outputs.source, second=source),
        )
        options = ClusteringOptions(adversarial=adversarial)
        make("deepastrouda", clustering=options).terms["clustering"](changed)[0].backward()
        return features.grad, head.weight.grad.clone()

    plain, reverse = gradients(False), gradients(True)
    torch.testing.assert_close(reverse[0], plain[0])
    torch.testing.assert_close(reverse[1], -plain[1])


@pytest.mark.parametrize("classes", [2, 3, 9, 10])
@pytest.mark.parametrize("name", ["dance", "deepastrouda"])
def test_default_separation_is_active(name, classes):
    """On what a network says that has just been made, that has learned something, and that is sure of most."""
    generator = torch.Generator().manual_seed(0)
    options = NetworkOptions(encoder="deepmerge")
    stretch = Stretch("linear", [1.0] * 3)
    network = build_network(options, stretch, bands=3, size=24, classes=classes).eval()
    with torch.inference_mode():
        made = network(torch.randn(200, 3, 24, 24, generator=generator))[0]
    learned = 3 * torch.randn(200, classes, generator=generator)
    tuner = make(name, setting=dataclasses.replace(SETTING, counts=[1] * classes)).separation.tuner
    active = [losses.active_fraction(logits, tuner.rho, tuner.margin) for logits in (made, learned, 4 * learned)]
    assert active[0] == 1
    assert 0.1 < active[1] < 1
    assert active[2] > 0.5


def test_separation_whose_margin_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="no sample is ever active"):
        SeparationOptions(rho=0.5, margin=0.5)


def test_separation_is_of_the_targets_first_view(outputs):
    rho, margin = math.log(3) / 2, 0.15 * math.log(3)
    _, parts, facts = make("dance")(outputs)
    logits = outputs.target.first.logits
    torch.testing.assert_close(parts["separation"], losses.entropy_separation(logits, rho, margin))
    torch.testing.assert_close(facts["active_fraction"], losses.active_fraction(logits, rho, margin))


@pytest.mark.parametrize("tuner", ["paper", "bounded"])
def test_the_tuner_is_the_recipes(tuner):
    assert make("deepastrouda", separation=SeparationOptions(tuner=tuner)).separation.tuner.mode == tuner


def test_separation_logs_what_it_does(outputs):
    _, _, facts = make("dance")(outputs)
    assert facts["rho"].item() == pytest.approx(math.log(3) / 2)
    assert facts["margin"].item() == pytest.approx(0.15 * math.log(3))
    assert 0 <= facts["active_fraction"] <= 1


@pytest.mark.parametrize(
    ("name", "tuner", "changes"),
    [("deepastrouda", "paper", 1), ("deepastrouda", "bounded", 1), ("deepastrouda", "off", 0), ("dance", "paper", 0)],
)
def test_only_deepastrouda_tunes_and_only_if_it_is_to(name, tuner, changes):
    objective = make(name, separation=SeparationOptions(tuner=tuner))
    for epoch in range(7):
        objective.end_epoch(epoch, 1.0, 0.0)
    assert len(objective.separation.tuner.changes) == changes


@pytest.mark.parametrize(("known", "height"), [(0.7, 0.1), (0.3, 0.1), (0.9, 0.05)])
def test_the_bounded_tuner_keeps_no_change_by_which_the_network_gains_nothing(known, height):
    """Of a network that stands still the entropy separation changes with boundary and margin alone."""
    objective = make("deepastrouda", setting=Setting([1] * 9, target_images=8, embedding=7, features=5))
    tuner, share = objective.separation.tuner, torch.linspace(0, 30, 4001)
    entropies = losses.entropy(torch.nn.functional.pad(share[:, None], (0, 8)))
    low, high = (share[(entropies - part * math.log(9)).abs().argmin()] for part in (height, 0.8))
    logits = torch.zeros(100, 9)
    logits[:, 0] = torch.where(torch.arange(100) < 100 * known, low, high)
    rho, margin = tuner.rho, tuner.margin
    for epoch in range(200):
        value = float(losses.entropy_separation(logits, tuner.rho, tuner.margin))
        objective.end_epoch(epoch, 1.0 + objective.weights["separation"] * value, value)
        if not epoch:
            first = value
    assert len(tuner.changes) >= 8
    assert [change.reverted for change in tuner.changes] == [False, True] * (len(tuner.changes) // 2)
    assert (tuner.rho, tuner.margin) == (rho, margin)
    # As printed it hears the whole.
    printed = make("deepastrouda", separation=SeparationOptions(tuner="paper"))
    printed.end_epoch(0, 1.0, 5.0)
    assert printed.separation.tuner.minimum == 1.0
    assert first != 0


def test_memory_of_neighbours(outputs):
    term = make("dance").terms["neighbourhood"]
    first, _ = term(outputs)
    empty = losses.neighbourhood_loss(
        outputs.target.first.features, torch.zeros(8, 5), outputs.head.weight, outputs.target.rows, 0.05
    )
    torch.testing.assert_close(first, empty)
    # The step needs the memory as it was until its gradient is taken; a checkpoint has what was seen.
    assert not term.memory.any()
    first.backward()
    assert outputs.target.first.features.grad.isfinite().all()
    lengths = term.state_dict()["memory"].norm(dim=1)
    assert lengths[outputs.target.rows].tolist() == pytest.approx([1] * 5)
    assert lengths.sum().item() == pytest.approx(5)
    assert not term.memory.requires_grad
    copied = copy.deepcopy(term)
    copied.seen = outputs.target.rows, torch.ones(5, 5)
    assert (copied.state_dict()["memory"] == 1).all(dim=1).sum() == 5
    second, _ = term(outputs)
    full = losses.neighbourhood_loss(
        outputs.target.first.features, term.memory, outputs.head.weight, outputs.target.rows, 0.05
    )
    torch.testing.assert_close(second, full)
    assert second != first
    term.load_state_dict(make("dance").terms["neighbourhood"].state_dict())
    term.remember()
    assert not term.memory.any()


@pytest.mark.parametrize("name", ["deepastrouda", "dance"])
def test_state_is_a_checkpoints(outputs, name):
    first, second = make(name), make(name)
    first(outputs)
    for epoch in range(8):
        first.end_epoch(epoch, 1.0, 0.0)
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(second(outputs)[0], first(outputs)[0])
    assert second.separation.tuner.changes == first.separation.tuner.changes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (MethodOptions(name="magic"), "method.name must be one of source_only, .*; got 'magic'"),
        (
            MethodOptions(weights={"mmd": 1.0}),
            "'source_only' looks at no target, and method.weights.mmd is for those that do",
        ),
        (
            MethodOptions(name="mmd", weights={"mdm": 1.0}),
            "method.weights names mdm; there are the losses cross_entropy, mmd, adversary",
        ),
        (
            MethodOptions(name="mmd", weights={"open_entropy": 1.0}),
            "'mmd' has no classifiers of one class against all others, and method.weights.open_entropy is for ovanet",
        ),
        (
            MethodOptions(weights={"balance": 0.3}),
            "'source_only' looks at no target, and method.weights.balance is for those that do",
        ),
    ],
)
def test_impossible_methods(options, message):
    with pytest.raises(ConfigError, match=message):
        Objective(options, SETTING)


@pytest.mark.parametrize("name", METHODS)
def test_any_method_takes_strangers_and_none_has_them_unasked(outputs, name):
    plain, objective = make(name).eval(), make(name, weights={"strangers": 0.5}).eval()
    assert objective.strangers
    assert not plain.strangers
    assert not make(name, weights={"strangers": 0.0}).strangers
    expected = losses.stranger_loss(outputs.strangers.logits, outputs.strangers.open_logits)
    total, parts, _ = objective(outputs)
    torch.testing.assert_close(parts["strangers"], expected)
    torch.testing.assert_close(total, plain(outputs)[0] + 0.5 * expected / SETTING.scale)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.adapts])
def test_any_method_that_adapts_can_keep_classes_from_vanishing(outputs, name):
    plain, objective = make(name).eval(), make(name, weights={"balance": 0.3}, least_share=1.0).eval()
    objective.load_state_dict(plain.state_dict(), strict=False)
    shares = torch.tensor(COUNTS) / sum(COUNTS)
    # Class weights take the source's shares out of the answers.
    expected = losses.vanishing_loss(outputs.target.first.logits + shares.log(), shares, 1.0)
    total, parts, _ = objective(outputs)
    assert expected > 0
    torch.testing.assert_close(parts["balance"], expected)
    torch.testing.assert_close(total, plain(outputs)[0] + 0.3 * expected / SETTING.scale)
    torch.testing.assert_close(objective(outputs, adapting=0.0)[0], plain(outputs, adapting=0.0)[0])


@pytest.mark.parametrize("counts", [[3, 3], COUNTS])
def test_deepastrouda_clusters_neighbours_too_unless_told_not_to(counts):
    setting = dataclasses.replace(SETTING, counts=counts)
    assert make("deepastrouda", setting=setting).weights["neighbourhood"] == 0.1 / setting.scale
    assert "neighbourhood" not in make("deepastrouda", setting=setting, weights={"neighbourhood": 0.0}).terms
    assert make("deepastrouda", setting=setting, weights={"neighbourhood": 0.3}).weights["neighbourhood"] == (
        0.3 / setting.scale
    )


def test_a_method_keeps_a_loss_that_adapts():
    weights = {name: 0.0 for name in METHODS["dance"].losses if name != "cross_entropy"}
    with pytest.raises(ConfigError, match="no loss that adapts"):
        make("dance", weights=weights)


WITHOUT_NEIGHBOURS = [name for name, one in METHODS.items() if one.adapts and "neighbourhood" not in one.losses]


@pytest.mark.parametrize("name", WITHOUT_NEIGHBOURS)
def test_any_method_that_adapts_takes_neighbours(outputs, name):
    plain, objective = make(name).eval(), make(name, weights={"neighbourhood": 0.2}).eval()
    objective.load_state_dict(plain.state_dict(), strict=False)
    total, parts, _ = objective(outputs)
    features, memory, rows = outputs.target.first.features, torch.zeros(8, 5), outputs.target.rows
    expected = losses.neighbourhood_loss(features, memory, outputs.head.weight, rows)
    torch.testing.assert_close(parts["neighbourhood"], expected)
    torch.testing.assert_close(total, plain(outputs)[0] + 0.2 * expected / SETTING.scale)


@pytest.mark.parametrize("added", [name for name, term in TERMS.items() if name != "cross_entropy"])
@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.adapts])
def test_a_recipe_composes_what_losses_it_likes(outputs, name, added):
    if added in METHODS[name].losses or (TERMS[added].open_head and not METHODS[name].open_head):
        return
    plain, objective = make(name).eval(), make(name, weights={added: 0.2}).eval()
    objective.load_state_dict(plain.state_dict(), strict=False)
    total, parts, _ = objective(outputs)
    assert objective.second == (plain.second or TERMS[added].second)
    torch.testing.assert_close(total, plain(outputs)[0] + 0.2 * parts[added] / SETTING.scale)
