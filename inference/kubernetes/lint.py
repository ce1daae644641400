"""Check the manifests of this folder against the schemas of Kubernetes; those of the Dask operator by their parts.

python inference/kubernetes/lint.py
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

VERSION = "1.33"
#: What the operator's DaskCluster and DaskAutoscaler take, beside the pods and the service in them.
FIELDS = {
    "DaskCluster": {"idleTimeout", "scheduler", "worker"},
    "DaskAutoscaler": {"cluster", "minimum", "maximum"},
}


def standard(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Objects of Kubernetes itself that a manifest is or stands for."""
    if manifest["apiVersion"] != "kubernetes.dask.org/v1":
        yield manifest
        return
    spec = manifest["spec"]
    unknown = spec.keys() - FIELDS[manifest["kind"]]
    if unknown:
        raise ValueError(f"{manifest['kind']} takes no {', '.join(sorted(unknown))}")
    if manifest["kind"] == "DaskCluster":
        for part in ("scheduler", "worker"):
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": part}, "spec": spec[part]["spec"]}
        service = spec["scheduler"]["service"]
        yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "scheduler"}, "spec": service}
    elif spec["minimum"] > spec["maximum"]:
        raise ValueError("minimum is above maximum")


def main() -> None:
    """Exit with 1 when a manifest is wrong."""
    faults = []
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            try:
                for item in standard(manifest):
                    kubernetes_validate.validate(item, VERSION, strict=True)
            except (kubernetes_validate.ValidationError, ValueError, KeyError) as error:
                faults.append(f"{path.name}: {getattr(error, 'message', error)}")
    print("\n".join(faults) or "manifests are valid")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
