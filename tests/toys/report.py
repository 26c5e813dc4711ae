"""Inputs of a report, as far as one section asks for them."""

from collections.abc import Sequence

from cgan_tf.classifier.results import ScoredTest
from cgan_tf.config import ReportConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.reporting.comparisons import FailedRun
from cgan_tf.reporting.inputs import ReportInputs


def report_inputs(
    evaluations: Sequence[ScoredTest] = (),
    failed: Sequence[FailedRun] = (),
    patches: PatchSet | None = None,
    **flags,
) -> ReportInputs:
    """Of these evaluations and flags; without `patches` for sections that look at none."""
    return ReportInputs(ReportConfig(**flags), evaluations, patches, failed=failed)
