"""Settings without effect are told."""

import pytest
from make_recipe import tiny_recipe

from galmorph.training.unused import tell_unused, unused_settings

TARGET = {"target": {"path": "elsewhere"}}


@pytest.mark.parametrize(
    ("tables", "unused"),
    [
        ({}, []),
        ({"stretch": {"low": 1.0, "high": 9.0}}, ["stretch.low", "stretch.high"]),
        ({"stretch": {"kind": "linear", "high": 9.0, "softening": 2.0}}, ["stretch.softening"]),
        ({"optimiser": {"step_epochs": 3, "cycle_epochs": 4}}, ["optimiser.step_epochs", "optimiser.cycle_epochs"]),
        ({"optimiser": {"schedule": "step", "step_epochs": 3}}, []),
        ({"optimiser": {"name": "sgd", "betas": [0.7, 0.8]}}, ["optimiser.betas"]),
        ({"method": {"warmup_epochs": 3.0}}, ["method.warmup_epochs"]),
        ({"network": {"batch_norm": "domain"}}, ["network.batch_norm"]),
        ({**TARGET, "method": {"name": "mmd", "warmup_epochs": 3.0}, "network": {"batch_norm": "domain"}}, []),
        ({**TARGET, "method": {"name": "mmd", "clustering": {"top": 2}}}, ["method.clustering"]),
        ({**TARGET, "method": {"name": "mmd", "clustering": {"top": 2}, "weights": {"clustering": 1.0}}}, []),
        ({**TARGET, "method": {"name": "deepastrouda", "least_share": 0.3}}, ["method.least_share"]),
    ],
)
def test_settings_that_others_leave_without_effect_are_found(tmp_path, tables, unused):
    assert unused_settings(tiny_recipe(tmp_path, **tables)) == unused


def test_they_are_told_by_name(tmp_path, caplog):
    tell_unused(tiny_recipe(tmp_path))
    assert caplog.messages == []
    tell_unused(tiny_recipe(tmp_path, optimiser={"step_epochs": 3}))
    assert "no effect beside its other settings: optimiser.step_epochs." in caplog.text


def test_a_target_that_the_method_does_not_look_at_is_told(tmp_path, caplog):
    tell_unused(tiny_recipe(tmp_path, **TARGET))
    assert "method.name = 'source_only' does not adapt: the target is not looked at" in caplog.text
