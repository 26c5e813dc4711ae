"""PNG, TIFF, PGM and JPEG: grey levels by hand, and what is refused with its reason."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.sources.base import FileFacts
from beam_pipelines.sources.plain_images import (
    decode_plain,
    is_plain,
    plain_mammogram,
    read_plain_header,
)

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
PLAIN = FileFacts(plain=True)


def _file(values, kind, mode=None, **options):
    buffer = io.BytesIO()
    Image.fromarray(values, mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _pgm(values, largest):
    head = f"P5\n# a comment\n{values.shape[1]} {values.shape[0]}\n{largest}\n".encode()
    return head + values.astype(">u2" if largest > 255 else "u1").tobytes()


def _rejection(data, facts=PLAIN):
    with pytest.raises(Rejected) as caught:
        plain_mammogram(data, facts)
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_eight_bits_are_spread_over_the_grey_levels(kind):
    data = _file(RAMP, kind)
    assert is_plain(data)
    found = plain_mammogram(data, PLAIN)
    np.testing.assert_allclose(found.grey[:], RAMP / 127.5 - 1, atol=1e-6)
    assert (found.header.rows, found.header.columns, found.spacing_mm) == (16, 16, 0.0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("bits", [12, 16])
def test_sixteen_bits_are_those_that_are_said(kind, bits):
    values = (np.arange(256, dtype=np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    values = values.reshape(16, 16)
    found = plain_mammogram(_file(values, kind), FileFacts(plain=True, bits=bits))
    np.testing.assert_allclose(found.grey[:], 2.0 * values / ((1 << bits) - 1) - 1, atol=1e-6)


def test_what_the_data_set_says_is_in_the_mammogram():
    facts = FileFacts(plain=True, inverted=True, spacing_mm=0.2, manufacturer="ACME")
    found = plain_mammogram(_file(RAMP, "PNG"), facts, "L", "MLO")
    np.testing.assert_allclose(found.grey[:], 1 - RAMP / 127.5, atol=1e-6)
    assert found.spacing_mm == 0.2
    header = found.header
    assert (header.manufacturer, header.laterality, header.view) == ("ACME", "L", "MLO")


def test_a_pgm_file_says_its_largest_value():
    values = np.array([[0, 1000], [2000, 4000]])
    for facts in (PLAIN, FileFacts(plain=True, bits=12)):
        found = plain_mammogram(_pgm(values, 4000), facts)
        np.testing.assert_allclose(found.grey[:], values / 2000 - 1, atol=1e-4)


def test_white_is_zero_is_turned_over_in_both_depths():
    eight = _file(RAMP, "TIFF", tiffinfo={262: 0})
    sixteen = _file(RAMP.astype(np.uint16) * 257, "TIFF", tiffinfo={262: 0})
    for data in (eight, sixteen):
        assert Image.open(io.BytesIO(data)).tag_v2[262] == 0
    # Pillow turns 8 bits over when it writes, and again when it reads; 16 bits never.
    np.testing.assert_array_equal(decode_plain(eight)[1], RAMP)
    expected = 1 - RAMP / 127.5
    np.testing.assert_allclose(plain_mammogram(sixteen, PLAIN).grey[:], expected, atol=1e-6)


def test_grey_in_colours_and_palettes_is_grey():
    colours = np.dstack([RAMP] * 3)
    palette = Image.fromarray(RAMP).convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG")
    for data in (_file(colours, "PNG"), buffer.getvalue()):
        np.testing.assert_array_equal(decode_plain(data)[1], RAMP)
    jpeg = decode_plain(_file(colours, "JPEG", quality=95))[1]
    assert abs(jpeg.astype(int) - RAMP).max() < 8


def test_what_is_not_grey_is_refused_with_its_reason():
    colours = np.dstack([RAMP, RAMP, RAMP[::-1]])
    clear = np.dstack([RAMP, RAMP, RAMP, RAMP])
    photometric = Reason.UNSUPPORTED_PHOTOMETRIC
    assert _rejection(_file(colours, "PNG")) == (photometric, "colours")
    assert _rejection(_file(clear, "PNG")) == (photometric, "transparent pixels")
    real = RAMP.astype(np.float32)
    assert _rejection(_file(real, "TIFF")) == (Reason.UNSUPPORTED_PIXELS, "mode F")
    wide = RAMP.astype(np.int32) * 100_000
    assert _rejection(_file(wide, "TIFF"))[0] == Reason.UNSUPPORTED_PIXELS
    pages = [Image.fromarray(RAMP)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages)
    assert _rejection(buffer.getvalue()) == (Reason.MULTI_FRAME, "2 images")


def test_values_beyond_the_bits_that_are_said_are_never_wrapped():
    data = _file(np.full((4, 4), 4096, np.uint16), "PNG")
    found = _rejection(data, FileFacts(plain=True, bits=12))
    assert found == (Reason.BAD_GREY_LEVELS, "values of more than 12 bits")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM", "JPEG"])
def test_a_file_that_was_cut_off_is_damaged(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    data = _file(noise, kind)
    assert _rejection(data[: len(data) // 2])[0] in (
        Reason.BROKEN_PIXEL_DATA,
        Reason.BROKEN_IMAGE,
    )
    assert _rejection(data[:9])[0] == Reason.BROKEN_IMAGE


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    def chunk(name, content):
        check = zlib.crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + check

    for side in (9_000, 60_000):
        head = side.to_bytes(4, "big") * 2 + bytes([16, 0, 0, 0, 0])
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"0"))
        (tmp_path / "bomb.png").write_bytes(data)
        with pytest.raises(Rejected) as caught:
            read_plain_header(str(tmp_path / "bomb.png"))
        assert caught.value.reason == Reason.IMAGE_TOO_LARGE


def test_a_black_image_of_clinical_size_is_no_bomb():
    data = _file(np.zeros((3328, 2560), np.uint16), "PNG")
    assert len(data) < 100_000
    assert plain_mammogram(data, PLAIN).grey[1000, 1000:1001].item() == -1.0
