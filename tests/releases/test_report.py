"""The page about a release: everything that comes from elsewhere is escaped, and nothing is loaded."""

import re

import numpy as np
from PIL import Image

from galmorph.releases.advice import Advice
from galmorph.releases.report import Story, release_page

VERDICT = {
    "gate": "source", "question": "accuracy on <the> source", "passed": False, "reason": "change -0.2 & more",
    "value": -0.2, "low": -0.3, "high": -0.1, "limit": "", "before": 0.9, "after": 0.7,
    "objects": 100, "estimate": True,
}  # fmt: skip


def story(folder, **changes):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "drift.png")
    (folder / "metrics.csv").write_text("epoch,valid_loss\n0,1.0\n1,0.5\n2,nan\n")
    facts = {
        "name": "<script>alert(1)</script>",
        "advice": Advice("Keep the <old> model", ("galmorph models promote models:/x/2 --why '<b>'",), stop=True),
        "begin": {"reference": "models:/x/1", "sha256": "ab" * 32},
        "notice": {
            "verdict": "retrain", "reasons": ["deeper & <sharper>"], "notes": [], "picture": folder / "drift.png",
        },
        "gather": {"images": 10, "labelled": 3},
        "adapt": {
            "training": str(folder), "joined": 2, "method": "mmd", "start": "warm", "guard": None,
            "budget": {"minutes": 5.0, "epochs": 3, "epochs_used": 3, "best_epoch": 1},
        },
        "judge": {"verdicts": [VERDICT], "not_asked": ["int8"]},
        "register": {"version": "models:/x/2", "in_use": "models:/x/1"},
        "rescore": {"catalog": "run/catalog", "tiles": 2, "scored": 5, "set_aside": 0},
        "seconds": {"adapt": 300.0, "judge": 5.0},
    }  # fmt: skip
    return Story(**(facts | changes))


def test_everything_is_on_one_page_and_escaped(tmp_path):
    page = release_page(story(tmp_path))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "deeper &amp; &lt;sharper&gt;" in page
    assert "accuracy on &lt;the&gt; source <b>(estimate, no labels)</b>" in page
    assert "not passed" in page
    assert "Not asked for: int8." in page
    assert "at most 5 minutes; 3 were used" in page
    assert "5.0 min" in page
    # Pictures are in the page, and nothing is loaded from elsewhere.
    assert page.count("data:image/png;base64,") == 1
    assert not re.search(r"""(src|href)=['"](?!data:)""", page)
    # The loss of two epochs is drawn from top to bottom; the third is no number.
    assert re.search(r"points='10\.0,20\.0 150\.0,90\.0'", page)


def test_what_did_not_come_to_pass_is_not_told(tmp_path):
    page = release_page(Story("y10", Advice("nothing to do"), adapt={"skipped": "as before"}))
    assert "<h2>Gates</h2>" not in page
    assert "as before" in page
    gone = story(tmp_path, notice={"verdict": "retrain", "reasons": [], "picture": str(tmp_path / "none.png")})
    assert "<img" not in release_page(gone)
