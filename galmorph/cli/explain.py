"""``galmorph explain``."""

from pathlib import Path

from rich.console import Console

from galmorph.errors import ConfigError, MissingExtraError


def explain(
    training: Path,
    /,
    *,
    out: Path,
    images: Path | None = None,
    data: Path | None = None,
    target: Path | None = None,
    most: int = 1000,
) -> None:
    """Draw what a trained network makes of its images: features on a plane, and where it sees each class (Grad-CAM).

    Parameters
    ----------
    training
        A checkpoint, or the folder of a training: its best epoch, or that of the model that the guard chose.
    out
        Folder for latent.png, latent.csv and grad_cam.png.
    images
        Set of cutouts to show in place of the target's images, with the labels that it has.
    data
        Labelled images of the training, if they were moved.
    target
        Unlabelled images that it was adapted to, if they were moved.
    most
        Most images of each domain on the plane.
    """
    if most < 1:
        raise ConfigError(f"--most must be at least 1, got {most}")
    try:
        from galmorph.training.explain import explain as run_explain
    except ImportError as error:
        raise MissingExtraError("Training", str(error.name), "training") from error
    files = run_explain(training, out, images=images, data=data, target=target, most=most)
    Console(highlight=False).print(f"written: {', '.join(str(path) for path in files)}", markup=False, soft_wrap=True)
