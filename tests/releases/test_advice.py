"""What to do about a new model, for all that can come of its gates and of the registry."""

import pytest

from galmorph.releases.advice import Advice, advise

PASSED = {"passed": True, "verdicts": [{"gate": "source", "passed": True}]}
REFUSED = {
    "passed": False,
    "verdicts": [
        {"gate": "calibration", "passed": False},
        {"gate": "source", "passed": True},
        {"gate": "calibration", "passed": False},
        {"gate": "target", "passed": False},
    ],
}
NEW, OLD = "models:/blobs/2", "models:/blobs/1"
WAITS = {"version": NEW, "promoted": False}
PROMOTED = {"version": NEW, "promoted": True}
BACK = ("galmorph models rollback blobs --why '…'",)


def in_registry(judge, register, in_use, diff=None):
    return advise(judge, register, diff or {"skipped": "no old catalogue"}, name="blobs", in_use=in_use)


def in_folders(judge, promoted, diff=None):
    register = {"version": None, "promoted": promoted, "note": "no registry was told"}
    return advise(judge, register, diff or {"skipped": "no old catalogue"}, name=None, in_use="model")


@pytest.mark.parametrize("name", ["blobs", None])
def test_without_a_new_model_the_present_one_scores(name):
    skipped = {"skipped": "no new model: as before"}
    advice = advise(skipped, {"version": None, "promoted": False}, {}, name=name, in_use=OLD)
    assert advice == Advice("no new model: as before. The tiles are scored with the present model.")


@pytest.mark.parametrize("ask", [lambda: in_registry(REFUSED, WAITS, OLD), lambda: in_folders(REFUSED, False)])
def test_a_model_that_is_refused_stays_out_and_each_gate_is_named_once(ask):
    advice = ask()
    assert "Keep the present model: the new one did not pass the gates calibration, target." in advice.text
    assert (advice.commands, advice.stop) == ((), True)


def test_without_gates_nothing_was_asked():
    advice = in_registry({"passed": False, "verdicts": []}, WAITS, OLD)
    assert "the new one was asked nothing: no gate is set." in advice.text
    assert advice.stop


def test_a_refused_model_that_somebody_promoted_is_taken_back():
    advice = in_registry(REFUSED, WAITS, NEW)
    assert advice == Advice(
        "The new model is in use, and did not pass the gates calibration, target. Go back.", BACK, stop=True
    )


def test_a_model_in_use_can_be_taken_back_and_its_changes_looked_at():
    advice = in_registry(PASSED, PROMOTED, NEW, {"changed": "diff/changed.csv"})
    assert advice == Advice(
        "The new model passed all gates and is in use. Look at the objects that changed their label: diff/changed.csv.",
        BACK,
    )
    assert in_registry(PASSED, PROMOTED, NEW).text == "The new model passed all gates and is in use."


def test_without_a_registry_there_is_nothing_to_go_back_with():
    assert in_folders(PASSED, True) == Advice("The new model passed all gates and is in use.")


@pytest.mark.parametrize("register", [WAITS, PROMOTED])
def test_what_counts_is_the_champion_as_it_is_now(register):
    advice = in_registry(PASSED, register, OLD)
    assert advice.text.startswith("The new model passed all gates and waits. Promote it")
    assert (advice.commands, advice.stop) == (("galmorph models promote models:/blobs/2 --why '…'",), False)


@pytest.mark.parametrize(("register", "in_use"), [(PROMOTED, NEW), (WAITS, OLD)])
def test_commands_name_the_registry_that_the_description_names(register, in_use):
    commands = [
        advise(PASSED, register, {}, name="blobs", in_use=in_use, registry=registry).commands
        for registry in ("/data/my models.db", None)
    ]
    assert commands[0] == (f"{commands[1][0]} --registry '/data/my models.db'",)


def test_a_model_that_waits_says_why():
    advice = in_registry(PASSED, WAITS | {"note": "the champion is version 3 by now"}, "models:/blobs/3")
    assert "passed all gates and waits. the champion is version 3 by now. Promote it" in advice.text
