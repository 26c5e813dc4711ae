"""The patch record: a dataclass in memory, a serialised `tf.train.Example` in a shard.

Pixels are stored as 16-bit PNG, q = round((x + 1) / 2 * 65535) for x in [-1, 1]; the lesion
channel likewise, the soft mask as q = round(m * 65535) for m in [0, 1]. Features have the names of
the dataclass's fields. The message is declared here (tensorflow/core/example/feature.proto) in a
descriptor pool of its own: a Beam worker needs protobuf alone, and a process that also imports
TensorFlow has no clash of names.
"""

import dataclasses
import struct
from typing import Any

import cv2
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from cgan_tf.labels import PATCH_CLASSES
from cgan_tf.runs.errors import UserError

_FIELD = descriptor_pb2.FieldDescriptorProto


def _example_class():  # type: ignore[no-untyped-def]
    file = descriptor_pb2.FileDescriptorProto(
        name="cgan_tf/example.proto", package="tensorflow", syntax="proto3"
    )
    for name, kind in (
        ("BytesList", _FIELD.TYPE_BYTES),
        ("FloatList", _FIELD.TYPE_FLOAT),
        ("Int64List", _FIELD.TYPE_INT64),
    ):
        message = file.message_type.add(name=name)
        field = message.field.add(name="value", number=1, type=kind, label=_FIELD.LABEL_REPEATED)
        field.options.packed = kind != _FIELD.TYPE_BYTES
        if kind == _FIELD.TYPE_BYTES:
            field.ClearField("options")
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate(
        (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")), 1
    ):
        feature.field.add(
            name=name,
            number=number,
            type=_FIELD.TYPE_MESSAGE,
            type_name=f".tensorflow.{kind}",
            label=_FIELD.LABEL_OPTIONAL,
            oneof_index=0,
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    entry.field.add(
        name="value",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".tensorflow.Feature",
        label=_FIELD.LABEL_OPTIONAL,
    )
    features.field.add(
        name="feature",
        number=1,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".tensorflow.Features.FeatureEntry",
        label=_FIELD.LABEL_REPEATED,
    )
    example = file.message_type.add(name="Example")
    example.field.add(
        name="features",
        number=1,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".tensorflow.Features",
        label=_FIELD.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


Example = _example_class()


LEVELS = 65535
MOST_PIXELS = 1 << 24  # of a patch: what a file declares is checked before it costs memory
# The noise of tissue repeats nothing that a search would find: differences to the row above, and
# runs for the empty parts of lesions and masks. A third of the default's time at its size.
PNG_SETTINGS = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
)


_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_SIZE = struct.Struct(">IIBB")  # width, height, bits, colour type; grey is 0
_PNG_OVERHEAD = 4096  # bytes of headers and checksums, of a small picture


@dataclasses.dataclass(frozen=True, eq=False)
class PatchRecord:
    """One patch and everything known of it.

    Attributes:
      patch_id: unique in its data set; names the image and the draw, never a person.
      patch: float32 [size, size], grey levels in [-1, 1].
      patch_class: one of `config.PATCH_CLASSES`.
      has_mass, has_calcification: both flags of the mark, whatever class won.
      box: (x0, y0, x1, y1) of the lesion in patch pixels, x1 and y1 exclusive, clipped to the
        patch; empty without a lesion.
      client_id, study_uid, sop_uid: as in the data set.
      laterality: L or R. view: CC or MLO, or empty. manufacturer: as in (0008,0070).
      pixel_spacing_mm: of the image the window was cut from; 0 when unknown.
      tissue_fraction: breast tissue in the window, 0 to 1.
      window: (x, y, side) of the window in pixels of that image.
      flip: 1 if mirrored left to right. rotation: degrees counter-clockwise. scale: size / side.
      mark_id, label_evidence, conspicuity, lesion_size_mm: of the mark, empty or 0 without one.
      breast_density: as the data set has it, or empty.
      age_band, site: of the woman and of where she was screened, see `data.acquisition`, or empty.
      breast_thickness_mm, exposure_mas: of the compressed breast and of its image; 0 when unknown.
      synthetic: 1 for generated patches and for patches of images marked synthetic.
      lesion: float32 [size, size], the masked lesion channel in [-1, 1], or None.
      mask: float32 [size, size], the soft mask in [0, 1], or None.
      z: the random scalars. source_patch_id: the patch it was made from.
      task, lesion_area_px, threshold, min_area_fraction: how it was post-processed.
      generator_checksum: SHA-256 of the generator, or empty.
    """

    patch_id: str
    patch: np.ndarray
    patch_class: str
    has_mass: int = 0
    has_calcification: int = 0
    box: tuple[float, ...] = ()
    client_id: str = ""
    study_uid: str = ""
    sop_uid: str = ""
    laterality: str = ""
    view: str = ""
    manufacturer: str = ""
    pixel_spacing_mm: float = 0.0
    tissue_fraction: float = 0.0
    window: tuple[float, ...] = ()
    flip: int = 0
    rotation: int = 0
    scale: float = 1.0
    mark_id: str = ""
    label_evidence: str = ""
    conspicuity: str = ""
    lesion_size_mm: float = 0.0
    breast_density: str = ""
    age_band: str = ""
    breast_thickness_mm: float = 0.0
    exposure_mas: float = 0.0
    site: str = ""
    synthetic: int = 0
    lesion: np.ndarray | None = None
    mask: np.ndarray | None = None
    z: tuple[float, ...] = ()
    source_patch_id: str = ""
    task: str = ""
    lesion_area_px: int = 0
    threshold: float = 0.0
    min_area_fraction: float = 0.0
    generator_checksum: str = ""


# How each feature is stored. Images are PNG in a bytes list, empty when there is none.
IMAGES = {"patch": (2.0, -1.0), "lesion": (2.0, -1.0), "mask": (1.0, 0.0)}  # (range, lowest)
INTEGERS = ("has_mass", "has_calcification", "flip", "rotation", "synthetic", "lesion_area_px")
FLOATS = (
    "pixel_spacing_mm",
    "tissue_fraction",
    "scale",
    "lesion_size_mm",
    "breast_thickness_mm",
    "exposure_mas",
    "threshold",
    "min_area_fraction",
)
FLOAT_LISTS = ("box", "window", "z")
FEATURES = tuple(field.name for field in dataclasses.fields(PatchRecord))
# What the first sets lack: their records are read as if it were unknown.
LATER = ("age_band", "breast_thickness_mm", "exposure_mas", "site")
TEXTS = tuple(name for name in FEATURES if name not in (*IMAGES, *INTEGERS, *FLOATS, *FLOAT_LISTS))


def encode_record(record: PatchRecord) -> bytes:
    """The record as a serialised `tf.train.Example`; the same record gives the same bytes."""
    if record.patch_class not in PATCH_CLASSES:
        raise ValueError(
            f"patch_class: expected one of {PATCH_CLASSES}, found {record.patch_class!r}"
        )
    example = Example()
    feature = example.features.feature
    for name in FEATURES:
        value = getattr(record, name)
        if name in IMAGES:
            feature[name].bytes_list.value.append(b"" if value is None else encode_png(value, name))
        elif name in INTEGERS:
            feature[name].int64_list.value.append(int(value))
        elif name in FLOATS:
            feature[name].float_list.value.append(float(value))
        elif name in FLOAT_LISTS:
            feature[name].float_list.value.extend(float(item) for item in value)
        else:
            feature[name].bytes_list.value.append(value.encode())
    return example.SerializeToString(deterministic=True)


def decode_record(serialised: bytes, where: str) -> PatchRecord:
    """The inverse of `encode_record`.

    Raises `UserError` naming `where` (the shard) for unknown or missing features and for pixels
    that are not a 16-bit grey PNG.
    """
    feature = _features(serialised, where)
    values: dict[str, Any] = {}
    try:
        for name in FEATURES:
            if name in LATER and name not in feature:
                continue
            if name in IMAGES:
                png = feature[name].bytes_list.value[0]
                values[name] = decode_png(png, name, where) if png else None
            elif name in INTEGERS:
                values[name] = int(feature[name].int64_list.value[0])
            elif name in FLOATS:
                values[name] = float(feature[name].float_list.value[0])
            elif name in FLOAT_LISTS:
                values[name] = tuple(feature[name].float_list.value)
            else:
                values[name] = feature[name].bytes_list.value[0].decode()
    except IndexError as error:
        raise UserError(f"{where}: feature '{name}' is empty") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: feature '{name}': expected UTF-8 text") from error
    if values["patch_class"] not in PATCH_CLASSES or values["patch"] is None:
        raise UserError(
            f"{where}: expected a patch of {PATCH_CLASSES}, found {values['patch_class']!r}"
        )
    return PatchRecord(**values)


def decode_pixels(serialised: bytes, where: str) -> np.ndarray:
    """Only the patch of a record: float32 [size, size] in [-1, 1]."""
    feature = _features(serialised, where)
    return decode_png(b"".join(feature["patch"].bytes_list.value), "patch", where)


def decode_text(serialised: bytes, name: str, where: str) -> str:
    """Only one of the texts of a record, "patch_id" say."""
    return b"".join(_features(serialised, where)[name].bytes_list.value).decode()


def encode_png(image: np.ndarray, name: str = "patch") -> bytes:
    """Float image [h, w] to 16-bit PNG with the levels of feature `name`; values are clipped."""
    span, lowest = IMAGES[name]
    if not np.isfinite(image).all():
        raise ValueError(f"{name}: expected finite values")
    levels = np.subtract(image, lowest, dtype=np.float64)
    levels *= LEVELS / span  # in place: fresh memory costs more than the arithmetic
    np.rint(levels, out=levels).clip(0, LEVELS, out=levels)
    return cv2.imencode(".png", levels.astype(np.uint16), PNG_SETTINGS)[1].tobytes()


def decode_png(png: bytes, name: str, where: str) -> np.ndarray:
    """16-bit PNG to float32 [h, w] with the levels of feature `name`."""
    span, lowest = IMAGES[name]
    _check_png(png, f"{where}: feature '{name}'")
    levels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.dtype != np.uint16 or levels.ndim != 2:
        raise UserError(f"{where}: feature '{name}': expected a 16-bit grey PNG")
    return (levels.astype(np.float32) * np.float32(span / LEVELS) + np.float32(lowest)).clip(
        lowest, lowest + span
    )


def _check_png(png: bytes, where: str) -> None:
    """Raises `UserError` for what OpenCV would read as something else, or at any cost."""
    if not png.startswith(_PNG_START) or len(png) < len(_PNG_START) + _PNG_SIZE.size:
        raise UserError(f"{where}: expected a 16-bit grey PNG")
    width, height, bits, colour = _PNG_SIZE.unpack_from(png, len(_PNG_START))
    if (bits, colour) != (16, 0):
        raise UserError(f"{where}: expected a 16-bit grey PNG")
    if not 1 <= width * height <= MOST_PIXELS:
        raise UserError(f"{where}: expected 1 to {MOST_PIXELS} pixels, found {width}x{height}")
    most = _PNG_OVERHEAD + 2 * (2 * width + 1) * height  # twice what is not compressed
    if len(png) > most:
        raise UserError(f"{where}: expected at most {most} bytes of PNG, found {len(png)}")


def _features(serialised: bytes, where: str):  # type: ignore[no-untyped-def]
    try:
        feature = Example.FromString(serialised).features.feature
    except Exception as error:  # protobuf's DecodeError has no public base class of its own
        raise UserError(f"{where}: expected a serialised tf.train.Example") from error
    missing = sorted(set(FEATURES) - set(feature) - set(LATER))
    unknown = sorted(set(feature) - set(FEATURES))
    if missing or unknown:
        raise UserError(f"{where}: missing features {missing}, unknown features {unknown}")
    return feature
