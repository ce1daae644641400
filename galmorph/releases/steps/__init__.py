"""The steps of following a release, a file each."""

from galmorph.releases.steps.adapt import ADAPT
from galmorph.releases.steps.begin import BEGIN
from galmorph.releases.steps.diff import DIFF
from galmorph.releases.steps.gather import GATHER
from galmorph.releases.steps.judge import JUDGE
from galmorph.releases.steps.notice import NOTICE
from galmorph.releases.steps.register import REGISTER
from galmorph.releases.steps.report import REPORT
from galmorph.releases.steps.rescore import RESCORE
from galmorph.releases.steps.work import Step

#: In the order in which they are done.
IN_ORDER: tuple[Step, ...] = (BEGIN, NOTICE, GATHER, ADAPT, JUDGE, REGISTER, RESCORE, DIFF, REPORT)
