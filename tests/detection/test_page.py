import re
from html import unescape

from cgan_tf.detection.heat_maps import file_stem
from cgan_tf.detection.page import write_viewer
from cgan_tf.detection.predictions import Candidate, ImagePrediction, KnownLesion, write_predictions
from tests.toys.predictions import scored_image, write_pictures

PLACE = ("women/1", "L", "CC")


def lesion(uid: str, patch_class: str) -> KnownLesion:
    return KnownLesion(uid, *PLACE, "m", patch_class, 100.0, 60.0, 200.0, 120.0, 7.0)


def test_the_page_shows_what_is_known_and_predicted(tmp_path):
    malignant = ImagePrediction(
        scored_image("1.2", score=0.4, calibrated_score=0.25),
        (Candidate("1.2", *PLACE, 0.0, 0.0, 9.0, 9.0, 0.4),),
        (lesion("1.2", "malignant_mass"), lesion("1.2", "benign_mass")),
    )
    healthy = ImagePrediction(scored_image("1.3", malignant=0, score=0.9), (), ())
    unknown = ImagePrediction(scored_image("a/<b>.png", malignant=None, score=0.1), (), ())
    write_predictions(tmp_path, [healthy, malignant, unknown])
    write_pictures(tmp_path, [healthy, malignant, unknown])
    page = unescape(write_viewer(tmp_path, phantom=False).read_text(encoding="utf-8"))
    assert re.findall(r'src="(mammograms/[^"]+)"', page) == [
        "mammograms/1.2.png",  # the malignant one first
        "mammograms/1.3.png",
        f"mammograms/{file_stem('a/<b>.png')}.png",
    ]
    assert "3 images are shown, 1 of them with a malignant lesion" in page
    assert "score 0.400, calibrated 0.250, 1 candidate; 1 benign mass, 1 malignant mass" in page
    assert "score 0.900, 0 candidates; no lesion known" in page
    assert "score 0.100, 0 candidates; nothing known of lesions" in page
    # The picture has half the width of the image.
    assert '<rect x="50" y="30" width="50" height="30">' in page
    assert "phantom" not in page


def test_a_phantom_is_called_one(tmp_path):
    images = [ImagePrediction(scored_image(), (), ())]
    write_predictions(tmp_path, images)
    write_pictures(tmp_path, images)
    assert "drawn by a computer" in write_viewer(tmp_path, phantom=True).read_text("utf-8")


def test_real_films_scored_by_what_a_phantom_taught(tmp_path):
    film = scored_image("1.3.6.1.4.1.9590.100.1.2.7", malignant=None)
    images = [ImagePrediction(film, (), ())]
    write_predictions(tmp_path, images)
    write_pictures(tmp_path, images)
    page = write_viewer(tmp_path, phantom=False, model_phantom=True).read_text("utf-8")
    assert "The classifier has learnt from a phantom" in page
    assert "The data are a phantom" not in page
    assert "1 image is shown; nothing is known of lesions." in page
    assert "CBIS-DDSM" in page


def test_without_pictures_there_is_no_page(tmp_path):
    write_predictions(tmp_path, [ImagePrediction(scored_image(), (), ())])
    assert write_viewer(tmp_path, phantom=False) is None
    assert not (tmp_path / "viewer.html").exists()
