"""The phantom's pictures: spectrum, levels, lesions; and the same picture in every encoding."""

import itertools

import imagecodecs
import numpy as np
import pydicom
import pytest
import scipy.ndimage
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_voi_lut

from beam_pipelines.phantom.breast import _distance_to_air, draw_body, draw_outline
from beam_pipelines.phantom.dicom import (
    MANUFACTURERS,
    Header,
    dicom_dataset,
    display_table,
    draw_mapping,
    encode_display,
    file_bytes,
    raw_values,
)
from beam_pipelines.phantom.fields import power_law_field
from beam_pipelines.phantom.lesions import (
    CALCIFICATION,
    DISTORTION,
    MASS,
    MASS_WITH_CALCIFICATION,
    LesionLook,
    add_layer,
    draw_lesion,
    visible_box,
)
from beam_pipelines.phantom.picture import Picture, draw_picture, lesion_place
from beam_pipelines.phantom.plan import BENIGN_MARGINS, MALIGNANT_MARGINS, plan_client
from cgan_tf.data.keyed import keyed_generator

SPACING = 0.28


def fitted_beta(regions: list[np.ndarray], spacing_mm: float) -> float:
    """Exponent of the radial power spectrum 1/f^beta between 0.15 and 0.7 cycles/mm, the range of
    Burgess et al. (Med Phys 28:419, 2001); Hann window, power averaged over the regions."""
    side = regions[0].shape[0]
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.mean([abs(np.fft.fft2((r - r.mean()) * window)) ** 2 for r in regions], axis=0)
    axis = np.fft.fftfreq(side, spacing_mm)
    radius = np.hypot(axis[:, None], axis)
    edges = np.geomspace(0.15, 0.7, 9)
    rings = [(radius >= a) & (radius < b) for a, b in itertools.pairwise(edges)]
    points = [(np.log(radius[ring]).mean(), np.log(power[ring].mean())) for ring in rings]
    return float(-np.polyfit(*zip(*points, strict=True), 1)[0])


def interior(client: int, view: str = "CC") -> np.ndarray:
    """A square of 50 mm from the middle of a normal breast."""
    body = plan_client(1, client).body
    key = (client, "200")
    picture = draw_picture(1, key, body, (), "L", view, "small")
    outline = draw_outline(keyed_generator(1, *key, "L", view, "outline"), body, view)
    side = round(50 / SPACING)
    x = max(4, round(outline.nipple[0] / 2 / SPACING) - side // 2)
    y = round(outline.nipple[1] / SPACING) - side // 2
    return picture.display[y : y + side, x : x + side]


def test_the_fit_finds_a_known_exponent():
    for beta in (2.0, 3.0, 4.0):
        fields = [
            power_law_field(keyed_generator(beta, i), (192, 192), SPACING, beta) for i in range(8)
        ]
        assert fitted_beta(fields, SPACING) == pytest.approx(beta, abs=0.15)


def test_parenchyma_has_the_spectrum_of_mammograms():
    regions = [interior(client) for client in range(12)]
    assert 2.7 <= fitted_beta(regions, SPACING) <= 3.3
    each = [fitted_beta([region], SPACING) for region in regions]
    assert 2.7 <= np.mean(each) <= 3.3
    assert np.mean([2.5 <= beta <= 3.5 for beta in each]) >= 0.75


def test_grey_levels_leave_room_for_a_lesion():
    regions = np.stack([interior(client) for client in range(8)])
    low, middle, high = np.percentile(regions, (5, 50, 95))
    assert -0.6 < low < -0.2
    assert -0.3 < middle < 0.2
    assert high < 0.45
    assert (regions + 0.4 > 1).mean() < 0.002


def test_air_is_black_and_the_muscle_bright_on_mlo_only():
    body = plan_client(0, 2).body
    cc = draw_picture(0, (2, "200"), body, (), "L", "CC", "small")
    mlo = draw_picture(0, (2, "200"), body, (), "L", "MLO", "small")
    for picture in (cc, mlo):
        air = picture.display[~picture.mask][: 640 * 200]
        assert (air == -1).mean() > 0.95  # the rest is the burnt-in label
        assert 0.1 < picture.mask.mean() < 0.7
    assert mlo.display[:60, 4:60].mean() > 0.12 > cc.display[300:500, 4:60].mean()


def test_right_breasts_lie_at_the_right_edge():
    body = plan_client(0, 2).body
    left = draw_picture(0, (2, "200"), body, (), "L", "CC", "small")
    right = draw_picture(0, (2, "200"), body, (), "R", "CC", "small")
    assert left.mask[416, 0]
    assert not left.mask[416, -1]
    assert right.mask[416, -1]
    assert not right.mask[416, 0]


def test_the_distance_to_air_is_the_same_wherever_its_output_lies():
    """OpenCV's own differs in the last bit between outputs that begin at 16 and at 32 bytes."""
    mask = np.zeros((300, 200), bool)
    mask[20:250, :150] = True
    kept, found = [], set()
    for size in range(1, 4000, 97):
        kept.append(np.empty(size, np.uint8))
        found.add(_distance_to_air(mask).tobytes())
    assert len(found) == 1
    expected = scipy.ndimage.distance_transform_edt(mask)
    np.testing.assert_allclose(_distance_to_air(mask), expected, rtol=1e-6)


def case() -> tuple[int, object]:
    """A client with a mass, and its number."""
    for index in range(200):
        client = plan_client(0, index)
        lesions = client.episodes[-1].lesions
        if len(lesions) == 1 and lesions[0].look.kind == MASS and client.kind == "malignant":
            return index, client
    raise AssertionError


def pictures(client, view: str) -> tuple[Picture, Picture]:
    """The same view with and without the lesion."""
    lesions = client.episodes[-1].lesions
    key = (client.index, "200")
    return tuple(
        draw_picture(0, key, client.body, some, lesions[0].side, view, "small")
        for some in (lesions, ())
    )


def test_a_lesion_is_the_layer_that_the_truth_keeps():
    _, client = case()
    for view in ("CC", "MLO"):
        with_lesion, without = pictures(client, view)
        layer = np.zeros((832, 640), np.float32)
        drawn = with_lesion.lesions[0]
        add_layer(layer, drawn.layer, drawn.corner)
        difference = with_lesion.display - without.display
        free = (abs(with_lesion.display) < 1) & (abs(without.display) < 1)
        # What remains is the quantum noise, which depends a little on the level.
        assert abs(difference - layer)[free].max() < 0.06
        assert layer.max() > 0.1


def test_a_lesion_lies_as_far_from_the_nipple_in_both_views():
    apart = []
    for index in range(60):
        client = plan_client(0, index)
        for lesion in client.episodes[-1].lesions:
            shares = []
            for view in ("CC", "MLO"):
                outline = draw_outline(keyed_generator(0, index, view), client.body, view)
                x, _ = lesion_place(lesion, outline, view)
                shares.append(1 - x / outline.nipple[0])
            apart.append(abs(shares[0] - shares[1]))
    assert np.mean(np.array(apart) < 1e-6) > 0.7  # unless nipple or muscle are in the way
    assert max(apart) < 0.3


@pytest.mark.parametrize("kind", [MASS, CALCIFICATION, MASS_WITH_CALCIFICATION, DISTORTION])
@pytest.mark.parametrize("spacing", [0.28, 0.07])
def test_lesions_have_their_size_in_millimetres(kind, spacing):
    sizes = []
    for draw in range(6):
        look = LesionLook(kind, "ill_defined", "pleomorphic", 12.0, 0.4, 15, 0.6)
        layer = draw_lesion(keyed_generator(0, kind, draw), look, spacing)
        assert layer[0].max() == layer[:, 0].max() == 0
        x0, y0, x1, y1 = visible_box(layer, spacing)
        sizes.append((x1 - x0 + y1 - y0) / 2 * spacing - 3)
    assert 7 < np.median(sizes) < 23


def test_masses_brighten_tissue_enough_to_be_seen():
    peaks = [
        draw_lesion(
            keyed_generator(1, margin, draw),
            LesionLook(MASS, margin, "round", 13.0, 0.4, 0, 0.0),
            SPACING,
        )
        for margin in ("spiculated", "ill_defined", "well_defined")
        for draw in range(4)
    ]
    assert all(0.3 < layer.max() < 0.9 for layer in peaks)
    # The post-processing wants a tenth of an 18 mm patch above 0.1: 32 mm2.
    areas = [(layer > 0.1).sum() * SPACING**2 for layer in peaks]
    assert min(areas) > 32


def test_benign_and_malignant_overlap():
    assert set(BENIGN_MARGINS) == set(MALIGNANT_MARGINS)
    assert all(weight > 0 for weight in (*BENIGN_MARGINS.values(), *MALIGNANT_MARGINS.values()))
    assert BENIGN_MARGINS["well_defined"] > MALIGNANT_MARGINS["well_defined"]
    assert BENIGN_MARGINS["spiculated"] < MALIGNANT_MARGINS["spiculated"]
    sizes = {"malignant": [], "benign": [], "uncertain": []}
    kinds = []
    for index in range(400):
        client = plan_client(0, index)
        kinds.append(client.kind)
        for lesion in client.episodes[-1].lesions:
            if lesion.look.kind != "calcification":  # clusters are smaller than masses
                sizes[lesion.pathology].append(lesion.look.size_mm)
    assert 12 < np.median(sizes["malignant"]) < 15.5
    assert np.median(sizes["benign"]) < np.median(sizes["malignant"])
    assert np.percentile(sizes["benign"], 80) > np.median(sizes["malignant"])
    assert kinds.count("normal") / len(kinds) == 0.35
    assert kinds.count("benign") / len(kinds) == 0.2


def mappings() -> list[tuple[object, object]]:
    """Every manufacturer with every grey-level mapping it uses."""
    found = {}
    for manufacturer in MANUFACTURERS:
        for draw in range(40):
            mapping = draw_mapping(keyed_generator(draw), manufacturer)
            found.setdefault((manufacturer.name, mapping.voi), (manufacturer, mapping))
    return list(found.values())


@pytest.fixture(scope="module")
def display() -> np.ndarray:
    body = draw_body(keyed_generator(0))
    return draw_picture(0, (0,), body, (), "L", "MLO", "small").display


def header(purpose: str = "presentation") -> Header:
    return Header(
        client_id="demd1",
        study_uid="1.2.3",
        series_uid="1.2.3.1",
        sop_uid="1.2.3.1.1",
        study_date="20120301",
        age=55,
        side="L",
        view="MLO",
        purpose=purpose,
        shot="standard",
        instance=1,
        spacing_mm=SPACING,
        thickness_mm=50.0,
        exposure_mas=70.0,
        labelled=False,
    )


@pytest.mark.parametrize(
    ("manufacturer", "mapping"), mappings(), ids=lambda v: getattr(v, "voi", None)
)
def test_every_encoding_decodes_to_the_same_picture(manufacturer, mapping, display, tmp_path):
    """Decoded by pydicom's own windowing, not by ours."""
    path = tmp_path / "image.dcm"
    path.write_bytes(file_bytes(dicom_dataset(header(), manufacturer, mapping, display)))
    dataset = pydicom.dcmread(path)
    stored = decoded_pixels(dataset)
    output = apply_voi_lut(stored, dataset)
    if "VOILUTSequence" in dataset:
        output = output / (2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1)
    else:
        output = output / (2**dataset.BitsStored - 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        output = 1 - output
    again = output * 2 - 1
    table = np.sort(display_table(mapping))
    step = np.diff(table).max()
    black = table[0] + 1  # a sigmoid never reaches black
    assert black < 0.03
    assert abs(again - display).max() <= max(step * 0.51, black) + 1e-4
    inside = display > -0.9
    assert abs(again - display)[inside].max() < 0.003


def decoded_pixels(dataset: pydicom.Dataset) -> np.ndarray:
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return dataset.pixel_array
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    decode = imagecodecs.jpeg2k_decode if syntax.endswith(".90") else imagecodecs.jpeg8_decode
    return decode(frame)


def test_jpeg_lossless_is_selection_value_1():
    manufacturer = next(m for m in MANUFACTURERS if m.syntax.endswith(".70"))
    mapping = draw_mapping(keyed_generator(0), manufacturer)
    tissue = np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    dataset = dicom_dataset(header(), manufacturer, mapping, tissue)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    assert b"\xff\xc3" in frame  # SOF3: lossless, Huffman
    scan = frame.index(b"\xff\xda")
    assert frame[scan + 7] == 1  # Ss of the only component: the predictor


def test_encode_finds_the_nearest_stored_value():
    for _, mapping in mappings():
        table = display_table(mapping)
        values = np.linspace(-1, 1, 4001)
        best = abs(values[:, None] - table[None]).min(axis=1)
        reached = abs(table[encode_display(values.astype(np.float32), mapping)] - values)
        assert (reached <= best + 4e-5).all()


def test_the_raw_twin_is_dark_where_the_picture_is_bright(display):
    raw = raw_values(display, 14)
    assert raw.max() < 1 << 14
    order = np.argsort(display, axis=None)[:: 1 << 10]
    assert (np.diff(raw.ravel()[order].astype(int)) <= 0).all()
    mapping = draw_mapping(keyed_generator(0), MANUFACTURERS[0])
    dataset = dicom_dataset(header("processing"), MANUFACTURERS[0], mapping, display)
    assert "WindowCenter" not in dataset
    assert "VOILUTSequence" not in dataset
