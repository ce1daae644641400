"""``galmorph catalog check``: hold a catalogue against its own rules."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from galmorph import catalogs

if TYPE_CHECKING:
    from galmorph.catalogs.checking import Finding


def check(catalog: Path, /, *, repair: bool = False) -> None:
    """Hold a catalogue against its own rules; exit code 1 if it breaks one.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    repair
        Write it anew from its own rows: order, partitions, metadata and primary rows are made again, rows that lack
        what every row must have and repetitions are left out.
    """
    findings = catalogs.check_catalog(catalog)
    _say(findings)
    if repair and any(finding.repairable for finding in findings):
        findings = catalogs.repair_catalog(catalog)
        print("repaired; what is left:")
        _say(findings)
    sys.exit(1 if findings else 0)


def _say(findings: "list[Finding]") -> None:
    """One line for each broken rule."""
    for finding in findings:
        can = "can be repaired" if finding.repairable else "cannot be repaired: repeat the run"
        print(f"not so: {finding.rule} ({finding.rows}; the first is {finding.example}; {can})")
    if not findings:
        print("the catalogue keeps all its rules")
