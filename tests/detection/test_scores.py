import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from cgan_tf.detection.predictions import Predictions
from cgan_tf.detection.scores import (
    Calibration,
    Line,
    breast_scores,
    calibration_of,
    fitted_line,
    image_evidence,
    patient_scores,
)
from cgan_tf.runs.errors import UserError
from tests.toys.predictions import scored_image

CALIBRATION = Calibration(Line(1.0, 0.0), Line(2.0, 1.0), Line(1.0, -1.0))


def women():
    """Anna: both views of the left breast, one of the right, one of nobody knows which; Berta."""
    return [
        scored_image("1", client_id="anna", score=0.9, malignant=1),
        scored_image("2", client_id="anna", score=0.2, malignant=0, view="MLO"),
        scored_image("3", client_id="anna", score=0.5, malignant=0, laterality="R"),
        scored_image("4", client_id="anna", score=0.7, malignant=None, laterality=""),
        scored_image("5", client_id="berta", score=0.1, malignant=0, study_uid="8"),
        scored_image("6", client_id="berta", score=0.3, malignant=None, study_uid="9"),
    ]


def test_breasts_are_their_views_at_a_study():
    found = breast_scores(women(), None)
    told = [(b.client_id, b.study_uid, b.laterality, b.images, b.malignant) for b in found]
    assert told == [
        ("anna", "9", "L", 2, 1),
        ("anna", "9", "R", 1, 0),
        ("berta", "8", "L", 1, 0),
        ("berta", "9", "L", 1, None),
    ]
    assert [breast.score for breast in found] == [0.9, 0.5, 0.1, 0.3]
    assert {breast.calibrated_score for breast in found} == {None}


def test_patients_are_all_their_images():
    found = patient_scores(women(), None)
    assert [(p.client_id, p.images, p.malignant, p.score) for p in found] == [
        ("anna", 4, 1, 0.9),
        ("berta", 2, None, 0.3),
    ]


def test_a_calibrated_breast_is_judged_by_the_mean_over_its_views():
    left = breast_scores(women(), CALIBRATION)[0]
    mean = (logit(0.9) + logit(0.2)) / 2
    assert left.calibrated_score == pytest.approx(expit(1 + 2 * mean))


def test_a_calibrated_patient_is_judged_by_her_highest_breast():
    anna, berta = patient_scores(women(), CALIBRATION)
    # The image without a side is a breast of its own, and higher than the mean of the left views.
    assert anna.calibrated_score == pytest.approx(expit(logit(0.7) - 1))
    assert berta.calibrated_score == pytest.approx(expit(logit(0.3) - 1))


def test_evidence_stays_finite():
    assert np.isfinite([image_evidence(0.0), image_evidence(1.0)]).all()
    assert image_evidence(0.25) == pytest.approx(np.log(1 / 3))


def test_the_line_is_that_of_platts_method_in_scikit_learn():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 60)
    evidence = labels + generator.normal(0, 1.5, 60)
    plain = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    plain.coef_, plain.intercept_ = np.array([[1.0]]), np.array([0.0])  # its logit is the evidence
    platt = CalibratedClassifierCV(FrozenEstimator(plain), method="sigmoid", ensemble=False)
    platt.fit(evidence[:, None], labels)
    line = fitted_line(labels, evidence)
    ours = [line.probability(value) for value in evidence]
    np.testing.assert_allclose(ours, platt.predict_proba(evidence[:, None])[:, 1], atol=1e-4)


def test_separated_classes_have_a_line():
    line = fitted_line([0, 0, 1, 1], [-3.0, -2.0, 2.0, 3.0])
    assert 0 < line.slope < 10
    # Platt's targets: 3/4 and 1/4 for two of each.
    assert line.probability(2.5) == pytest.approx(0.75, abs=0.05)
    assert line.probability(-2.5) == pytest.approx(0.25, abs=0.05)


def predictions_of(tmp_path, images) -> Predictions:
    return Predictions(tmp_path, {}, tuple(images), (), (), (), ())


def test_calibration_needs_both_truths_at_every_level(tmp_path):
    images = [
        scored_image(str(n), client_id=f"w{n}", malignant=n % 2, score=0.2 + 0.1 * n)
        for n in range(6)
    ]
    found = calibration_of(predictions_of(tmp_path, images))
    assert found.image == found.breast == found.patient  # one image a woman
    assert found.image.slope > 0
    unknown = [scored_image("x", client_id="x", malignant=None, score=0.999)]
    assert calibration_of(predictions_of(tmp_path, [*images, *unknown])) == found
    with pytest.raises(UserError, match="other images to calibrate with, found 3 of 3 malignant"):
        calibration_of(predictions_of(tmp_path, images[1::2]))
    one_woman = [scored_image(str(n), malignant=n % 2) for n in range(4)]
    with pytest.raises(UserError, match="other breasts"):
        calibration_of(predictions_of(tmp_path, one_woman))
