"""Places that were chosen: as dense as real lesions, listed in a file, on both views."""

import numpy as np
import pytest

from beam_pipelines.insertion.breast_frame import breast_frame
from beam_pipelines.insertion.real_lesions import (
    contrast,
    real_lesions_from,
    smooth_density,
    weights_on,
)
from beam_pipelines.insertion.targets import (
    FURTHEST_MM,
    ListedPlace,
    Region,
    listed_pairs,
    needs_nipple,
    paired_targets,
    partner_of,
    random_targets,
    read_places,
)
from beam_pipelines.patches.windows import integral_of, tissue_fraction
from beam_pipelines.rejections import Reason, Rejected
from cgan_tf.runs.errors import UserError

SIDE = 24


def half_disc(left: bool = True, radius: int = 95) -> np.ndarray:
    y, x = np.mgrid[:200, :120]
    mask = ((y - 100) ** 2 + x**2 < radius**2).astype(np.uint8)
    return mask if left else np.ascontiguousarray(mask[:, ::-1])


def region(weights: np.ndarray | None = None, left: bool = True, spacing: float = 0.5) -> Region:
    """Of an image twice the size of its mask, each way."""
    mask = half_disc(left)
    weights = mask.astype(float) if weights is None else weights
    return Region(weights, integral_of(mask, (400, 240)), breast_frame(mask), SIDE, 0.9, spacing)


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


# Density


def test_density_is_highest_where_lesions_are_and_has_mass_one():
    rng = np.random.default_rng(0)
    places = np.stack([rng.normal(0.4, 0.05, 200), rng.normal(-0.3, 0.1, 200)], axis=1)
    density = smooth_density(places)
    assert density.sum() == pytest.approx(1)
    depth, height = (np.unravel_index(density.argmax(), density.shape) + np.array(0.5)) / (50, 100)
    assert depth == pytest.approx(0.4, abs=0.04)
    assert 2 * height - 1 == pytest.approx(-0.3, abs=0.08)


def test_inserted_places_have_the_distribution_of_real_ones():
    """Drawn on a mirrored breast of another size, in depth and height, where room is no limit."""
    rng = np.random.default_rng(1)
    real = np.stack([rng.beta(4, 4, 400), np.clip(rng.normal(0.1, 0.25, 400), -1, 1)], axis=1)
    mask = half_disc(left=False, radius=80)
    frame = breast_frame(mask)
    weights = weights_on(smooth_density(real), frame, mask)
    assert not weights[mask == 0].any()
    drawn = Region(weights, integral_of(mask), frame, 2, 0.5, 1.0)
    points = np.array([drawn.draw(stream(seed)) for seed in range(600)])
    depth, height = frame.depth_and_height(*points.T)
    for found, wanted in ((depth, real[:, 0]), (height, real[:, 1])):
        assert found.mean() == pytest.approx(wanted.mean(), abs=0.04)
        assert found.std() == pytest.approx(wanted.std(), rel=0.25)


def test_contrast_by_hand():
    grey = np.full((40, 40), -0.2, np.float32)
    y, x = np.mgrid[:40, :40] + 0.5
    grey[((x - 20) / 8) ** 2 + ((y - 20) / 6) ** 2 <= 1] += 0.3
    assert contrast(grey, (12, 14, 28, 26)) == pytest.approx(0.3, abs=1e-6)
    assert contrast(grey, (5, 1, 9, 5)) == pytest.approx(0)
    assert np.isnan(contrast(grey, (0, 0, 40, 40)))


# Patches for points


@pytest.mark.parametrize("point", [(60.0, 200.0), (150.0, 250.0), (7.0, 200.0), (184.0, 200.0)])
def test_a_target_is_in_the_middle_half_of_a_patch_with_tissue(point):
    where = region()
    target = where.target_at(point)
    assert tissue_fraction(where.integral, target.left, target.top, SIDE) >= 0.9 - 1e-9
    x, y = np.abs(np.array(target.point) - SIDE / 2)
    assert max(x, y) <= SIDE / 4 + 0.5
    if 10 < point[0] < 170:
        assert max(x, y) <= 0.5
    else:  # moved away from the edge of the image, or from the skin
        assert x > 3


@pytest.mark.parametrize("point", [(189.0, 200.0), (1.0, 200.0), (300.0, 200.0), (-1.0, 200.0)])
def test_a_point_without_such_a_patch_has_no_target(point):
    assert region().target_at(point) is None


def test_random_targets_do_not_overlap_and_end_with_the_room():
    found = random_targets(stream(), region(), 6)
    assert len(found) == 6
    for one in found:
        for other in found:
            far = max(abs(one.left - other.left), abs(one.top - other.top))
            assert one is other or far >= SIDE
    assert random_targets(stream(), region(np.zeros((200, 120))), 3) == []


# Both views


def test_lesions_on_both_views_are_as_far_from_the_nipple():
    views = region(), region(left=False)
    pairs = paired_targets(stream(3), views, 3)
    assert len(pairs) == 3
    for first, second in pairs:
        away = views[0].from_nipple((first.x, first.y))
        assert away > 5
        assert views[1].from_nipple((second.x, second.y)) == pytest.approx(
            away, abs=FURTHEST_MM + 1
        )
    assert pairs == paired_targets(stream(3), views, 3)


def test_no_place_on_the_other_view():
    near_the_nipple = np.zeros((200, 120))
    near_the_nipple[95:105, 70:76] = 1
    deep = region().target_at((14.0, 200.0))
    assert partner_of(stream(), (region(), region(near_the_nipple)), deep, []) is None


def test_listed_lesions_are_paired_by_name_or_by_distance():
    views = region(), region(left=False)
    first = [("a", (60.0, 200.0)), ("", (60.0, 100.0))]
    second = [("a", (180.0, 260.0)), ("b", (200.0, 180.0))]
    pairs = listed_pairs(stream(), views, first, second)
    assert [(pair[0].x, pair[0].y) for pair in pairs[:2]] == [(60, 200), (60, 100)]
    assert [(pair[1].x, pair[1].y) for pair in pairs[::2]] == [(180, 260), (200, 180)]
    for number in (1, 2):
        distances = [
            view.from_nipple((target.x, target.y))
            for view, target in zip(views, pairs[number], strict=True)
        ]
        assert distances[0] == pytest.approx(distances[1], abs=FURTHEST_MM + 1)
    named = [ListedPlace(1, 2, "a")]
    assert not needs_nipple([named, named])
    assert needs_nipple([named, []])
    assert needs_nipple([[ListedPlace(1, 2)], [ListedPlace(3, 4)]])


# The file


def test_a_file_of_places(tmp_path):
    path = tmp_path / "places.csv"
    path.write_text("x,image,y,lesion\n1.5,a,2,\n3,b,4, m1 \n5,a,6,\n")
    assert read_places(str(path)) == {
        "a": [ListedPlace(1.5, 2), ListedPlace(5, 6)],
        "b": [ListedPlace(3, 4, "m1")],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,x\na,1\n", "expected the columns image, x and y, found image, x$"),
        ("", "expected the columns image, x and y, found none$"),
        ("image,x,y\n", "expected a row for each lesion, found none$"),
        ("image,x,y\na,1,2\nb,one,2\n", "line 3: expected a number of pixels for x, found 'one'$"),
        ("image,x,y\na,1\n", "line 2: expected a number of pixels for y, found ''$"),
        ("image,x,y\n,1,2\n", "line 2: expected an image, found none$"),
        ("image,x,y\na,nan,2\n", "line 2: expected a number of pixels for x, found 'nan'$"),
    ],
)
def test_what_is_no_file_of_places(tmp_path, text, message):
    path = tmp_path / "places.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=f"^--places={path}.*{message}"):
        read_places(str(path))


# Real lesions


def lesion(view: str = "CC", **values) -> dict:
    return {
        "view": view, "depth": 0.5, "height": 0.0, "size": 10.0, "unit": "mm", "contrast": 0.2,
    } | values  # fmt: skip


def test_real_lesions_by_view_and_unit():
    results = [
        {"name": "2", "lesions": [lesion("MLO", contrast=float("nan"))], "left_out": ["no_place"]},
        {"name": "1", "lesions": [lesion(size=3.0 + n, depth=n / 9) for n in range(9)],
         "left_out": []},
        {"name": "3", "lesions": [lesion(size=99.0, unit="px")], "left_out": ["no_place"]},
    ]  # fmt: skip
    real = real_lesions_from(results)
    assert real.counts() == {"CC": 10, "MLO": 1}
    assert real.left_out == {"no_place": 2}
    assert real.unit == "mm"
    assert sorted(real.sizes()) == [3, 4, 5, 6, 7, 8, 9, 10, 10, 11]
    assert 99.0 not in real.sizes()
    assert len(real.contrasts()) == 10
    assert real.density("CC").sum() == pytest.approx(1)
    for view, reason in (("MLO", Reason.TOO_FEW_REAL_LESIONS), ("", Reason.UNKNOWN_VIEW)):
        with pytest.raises(Rejected) as fault:
            real.density(view)
        assert fault.value.reason == reason
    assert real.digest() == real_lesions_from(results[::-1]).digest()
