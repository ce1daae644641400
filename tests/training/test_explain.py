import numpy as np
import pandas as pd
import pytest
import torch
from make_cutouts import make_cutouts
from make_recipe import CLASSES, tiny_recipe
from PIL import Image

from galmorph.cli import main
from galmorph.cutout_set import read_cutout_set
from galmorph.errors import DataError
from galmorph.training import latent
from galmorph.training.domains import read_domains
from galmorph.training.explain import Looked, draw_latent, draw_maps, explain
from galmorph.training.fit import load_training, train
from galmorph.training.grad_cam import enlarge, grad_cam
from galmorph.training.latent import latent_view

FILES = ["grad_cam.png", "latent.csv", "latent.png"]


def test_groups_stay_groups_on_the_plane():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(size=(20, 6)) + 20 * np.eye(6)[group] for group in range(3)])
    view = latent_view(features)
    assert view.shape == (60, 2)
    # The nearest neighbour of each image is of its own group.
    distance = np.linalg.norm(view[:, None] - view, axis=2) + 1e9 * np.eye(60)
    assert np.mean(distance.argmin(axis=1) // 20 == np.arange(60) // 20) > 0.95
    assert np.array_equal(latent_view(features), view)


@pytest.mark.parametrize(("n", "perplexity"), [(100, 30.0), (8, 7 / 3)])
def test_the_plane_is_isomaps_and_what_lies_on_it_is_laid_out_anew(monkeypatch, n, perplexity):
    """Neighbours are those of scikit-learn's defaults, or as many as there are."""

    def watched(kind):
        def make(*given, **options):
            made = kind(*given, **options)

            def fit_transform(values):
                told.append((kind.__name__, options, values.shape))
                return type(made).fit_transform(made, values)

            made.fit_transform = fit_transform
            return made

        return make

    told = []
    for name in ("Isomap", "TSNE"):
        monkeypatch.setattr(latent, name, watched(getattr(latent, name)))
    view = latent_view(np.random.default_rng(0).normal(size=(n, 6)), seed=3)
    assert view.shape == (n, 2)
    assert np.isfinite(view).all()
    assert told == [
        ("Isomap", {"n_neighbors": 5, "n_components": 2}, (n, 6)),
        ("TSNE", {"perplexity": pytest.approx(perplexity), "random_state": 3}, (n, 2)),
    ]


def test_features_that_cannot_be_laid_out():
    assert latent_view(np.ones((9, 4))).tolist() == [[0.0, 0.0]] * 9
    assert latent_view(np.tile([1.0, 2.0], (9, 1))).tolist() == [[0.0, 0.0]] * 9
    with pytest.raises(DataError, match="at least 8 images, got 7"):
        latent_view(np.eye(7))
    with pytest.raises(DataError, match="not finite"):
        latent_view(np.full((9, 2), np.nan))
    with pytest.raises(DataError, match="not finite"):
        latent_view(np.where(np.arange(18).reshape(9, 2) == 5, np.inf, 1.0))


def test_a_training_beside_a_labelled_set(trained, cutouts, tmp_path, capsys):
    other = make_cutouts(tmp_path / "other", each=6, seed=3)
    out = tmp_path / "out"
    main(["explain", str(trained.last.parents[1]), "--images", str(other), "--out", str(out)])
    assert "grad_cam.png" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == FILES
    table = pd.read_csv(out / "latent.csv")
    target = table[table["domain"] == "target"]
    assert target["label"].value_counts().to_dict() == {"merger": 6, "elliptical": 6, "edge_on": 6, "lens": 6}
    # Lenses are private: they are shown, and cannot be predicted.
    assert (table.loc[table["domain"] == "source", "label"] == "lens").any()
    assert set(table["predicted"]) <= set(CLASSES)
    known = table[table["label"] != "lens"]
    assert (known["label"] == known["predicted"]).mean() > 0.8
    assert table["entropy"].between(0, 1).all()
    for name in ("latent.png", "grad_cam.png"):
        with Image.open(out / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_a_training_that_adapted_beside_its_target(cutouts, tmp_path):
    target = make_cutouts(tmp_path / "target", each=10, seed=1)
    recipe = tiny_recipe(
        cutouts,
        target={"path": str(target)},
        fit={"epochs": 1},
        network={"batch_norm": "domain"},
        method={"name": "mmd", "warmup_epochs": 0.0, "ramp_epochs": 0.0},
    )
    result = train(recipe, tmp_path / "training", device="cpu", progress=False)
    explain(result.checkpoint, tmp_path / "out", most=12)
    table = pd.read_csv(tmp_path / "out" / "latent.csv", keep_default_na=False, dtype={"object_id": str})
    domains = read_domains(recipe)
    assert table["domain"].value_counts()["source"] == 12
    shown = table[table["domain"] == "target"]
    valid = domains.target.object_ids[domains.target_rows["validation"]]
    assert set(shown["object_id"]) <= set(valid.tolist())
    assert len(shown) == min(12, len(valid))
    # Its labels are not read.
    assert set(shown["label"]) == {""}


def test_unknown_objects_have_a_colour_of_their_own():
    table = pd.DataFrame(
        {"domain": ["source", "target", "target"], "label": ["a", "", "z"], "x": 0.0, "y": 0.0, "entropy": 0.5}
    )
    axes = draw_latent(table, ["a", "b"]).axes[1]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["no label", "a", "unknown"]


def test_a_map_is_of_the_class_that_is_named(trained, cutouts):
    """Looked at in several orientations, an image can be given another class than in the one that is drawn."""
    module, _ = load_training(trained.checkpoint)
    images = np.array(read_cutout_set(cutouts).images[:3])
    named = np.full((3, 3), -9.0, dtype=np.float32)
    named[:, 2] = 9
    none = np.array(["", "", ""])
    figure = draw_maps(module, [Looked("source", images, none, none, named, np.zeros((3, 2)))])
    tensors = torch.from_numpy(images)
    assert module.network(tensors)[0].argmax(dim=1).tolist() == [0, 0, 0]
    # Six axes for each class; the second of each pair has the map over the image.
    drawn = [axes.images[1].get_array() for axes in figure.axes[2 * 6 + 1 :: 2]]
    expected = enlarge(grad_cam(module.network, tensors, torch.tensor([2, 2, 2])), images.shape[-1])
    np.testing.assert_allclose(drawn, expected, atol=1e-6)


def test_images_of_another_size_are_refused(trained, tmp_path):
    other = make_cutouts(tmp_path / "other", each=3, size=30)
    with pytest.raises(DataError, match="target images have the shape"):
        explain(trained.checkpoint, tmp_path / "out", images=other)


def test_images_that_hold_no_numbers_are_named(trained, tmp_path):
    other = make_cutouts(tmp_path / "other", each=3)
    images = np.load(other / "images.npy")
    images[4, 0, 2, 2] = np.nan
    np.save(other / "images.npy", images)
    with pytest.raises(DataError, match=r"other: 1 of 12 images hold values that are not finite, of object "):
        explain(trained.checkpoint, tmp_path / "out", images=other)
    assert not (tmp_path / "out").exists()
