"""The breast mask of the eight real films against outlines drawn by hand."""

import cv2
import numpy as np
import pytest

from beam_pipelines.dicom import reading
from tests.toys.film_outlines import FILMS, OUTLINES, outlined, overlap, read_film, whole_mask


def test_every_film_has_an_outline_of_one_piece_inside_it():
    assert set(OUTLINES["films"]) == set(FILMS)
    for name, film in OUTLINES["films"].items():
        outline = np.array(film["outline"], np.float32) * OUTLINES["reduction"]
        rows, columns = film["shape"]
        assert (outline >= 0).all()
        assert (outline <= (columns, rows)).all()
        # Where lines cross, the loops' areas have opposite signs and cancel.
        assert outlined(name, 1).sum() == pytest.approx(cv2.contourArea(outline), rel=0.01)


@pytest.mark.parametrize("name", FILMS)
def test_the_mask_of_a_film_is_the_breast_that_a_person_drew(name):
    film = read_film(name)
    assert film.grey.shape == tuple(OUTLINES["films"][name]["shape"])
    for reduction in (1, 5, 8):
        grey = reading.reduce(film, reduction, 0.0).grey
        assert overlap(whole_mask(grey), outlined(name, reduction)) >= 0.95, reduction
