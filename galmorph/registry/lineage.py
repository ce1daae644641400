"""Where a bundle comes from, as its manifest tells: what the registry lists without opening it."""

import hashlib
import json

from galmorph.bundle import Bundle

#: Of the tags of a version.
PREFIX = "galmorph."


def lineage(bundle: Bundle) -> dict[str, str]:
    """Facts of a bundle.

    Parameters
    ----------
    bundle : Bundle
        Verified.

    Returns
    -------
    dict of str
        `sha256`, `model`, `survey`, `classes`, `bands`, and as far as the manifest has them `recipe` (its name and the
        beginning of its digest), `method`, `seed`, `commit`, `weights_from` (SHA-256 of the checkpoint that
        the training started from), and digests of the files of source (``data.…``) and target (``target.…``).
    """
    manifest, training = bundle.manifest, bundle.manifest.training
    facts = {
        "sha256": bundle.sha256,
        "model": manifest.name,
        "survey": manifest.survey,
        "classes": ", ".join(manifest.classes),
        "bands": ", ".join(manifest.bands),
    }
    if recipe := training.get("recipe"):
        digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
        facts |= {"recipe": f"{recipe['name']} {digest[:12]}", "method": recipe["method"]["name"]}
    facts |= {key: str(training[key]) for key in ("seed", "commit") if training.get(key) is not None}
    if initial := training.get("initial"):
        facts["weights_from"] = str(initial["sha256"])
    target = (training.get("target") or {}).get("digests", {})
    for domain, digests in (("data", training.get("data") or {}), ("target", target)):
        facts |= {f"{domain}.{name}": str(digest) for name, digest in digests.items()}
    return facts
