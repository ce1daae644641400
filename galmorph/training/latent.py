"""A plane to look at features in: Isomap, then t-SNE of what it gives (DeepAstroUDA, section 5)."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE, Isomap

from galmorph.errors import DataError

#: Neighbours that Isomap measures distances through, and t-SNE's effective number of them: scikit-learn's defaults.
NEIGHBOURS, PERPLEXITY = 5, 30.0

#: Fewest images that can be laid out.
FEWEST = 8


def latent_view(features: NDArray[np.floating], seed: int = 0) -> NDArray[np.float64]:
    """Lay images out on a plane by their features.

    Parameters
    ----------
    features : ndarray of float
        What the last layer takes, shape ``(n, d)``.
    seed : int
        Of t-SNE.

    Returns
    -------
    ndarray of float
        Shape ``(n, 2)``. Neighbours stay neighbours; distances, sizes and densities of groups mean little.

    Raises
    ------
    DataError
        If there are too few images, or a feature is no finite number.
    """
    features = np.asarray(features, dtype=np.float64)
    if len(features) < FEWEST:
        raise DataError(f"a view of the features needs at least {FEWEST} images, got {len(features)}")
    if not np.isfinite(features).all():
        raise DataError("the network gives features that are not finite: it diverged, or images hold such values")
    if np.ptp(features, axis=0).max() == 0:
        # A network that gives everything the same features: one place, which neither method can lay out.
        return np.zeros((len(features), 2))
    neighbours = min(NEIGHBOURS, len(features) - 1)
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with warnings.catch_warnings():
        # Groups that are far apart are joined by scikit-learn through their nearest members; it is said as a warning.
        warnings.simplefilter("ignore")
        plane = Isomap(n_neighbors=neighbours, n_components=2).fit_transform(features)
        view = TSNE(2, perplexity=perplexity, random_state=seed).fit_transform(plane)
    return np.asarray(view, dtype=np.float64)
