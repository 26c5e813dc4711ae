"""dataset_info.json and features.json, so that TensorFlow Datasets reads a patch set in place.

`tfds.builder_from_directory(DIR)` finds the shards in the first and how to decode a record in the
second. Both are messages of tensorflow_datasets/core/proto as JSON, written without the package,
which only those who read with it need. A split of TensorFlow Datasets is one split and class of a
patch set, for example "train_malignant_mass".
"""

from pathlib import Path

from cgan_tf.data import records
from cgan_tf.data.patch_sets import Splits
from cgan_tf.runs.directory import Json, write_json

INFO_FILE = "dataset_info.json"
FEATURES_FILE = "features.json"
VERSION = "1.1.0"  # of the record: another where a feature comes, goes or changes its meaning
NAMES = {False: "mammogram_patches", True: "synthetic_mammogram_patches"}
DESCRIPTION = (
    "Patches of mammograms. Grey levels are q / 65535 * 2 - 1, in [-1, 1]; "
    "the features are explained in docs/data.md of the project."
)
_CLASSES = "tensorflow_datasets.core.features"
_ANY_LENGTH = "-1"


def write_tfds_files(directory: str | Path, splits: Splits, size: int, synthetic: bool) -> None:
    """Writes both files; arguments as in `dataset_info` and `features`."""
    write_json(Path(directory) / FEATURES_FILE, features(size, synthetic))
    write_json(Path(directory) / INFO_FILE, dataset_info(splits, synthetic))


def dataset_info(splits: Splits, synthetic: bool) -> Json:
    """A DatasetInfo message (dataset_info.proto); `splits` are those of the manifest."""
    return {
        "name": NAMES[synthetic],
        "description": DESCRIPTION,
        "version": VERSION,
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": f"{split}_{name}",
                "filepathTemplate": f"{split}/{name}-{{SHARD_X_OF_Y}}.tfrecord",
                "shardLengths": [str(shard.records) for shard in entry.shards],
                "numBytes": str(sum(shard.bytes for shard in entry.shards)),
            }
            for split, classes in splits.items()
            for name, entry in classes.items()
            if entry.count
        ],
    }


def features(size: int, synthetic: bool) -> Json:
    """A Feature message (feature.proto) for the records of patches `size` pixels a side.

    Only synthetic patches have a lesion channel and a mask; elsewhere these features are empty and
    left out, since an empty picture cannot be decoded.
    """
    images = records.IMAGES if synthetic else ("patch",)
    kinds: dict[str, Json] = {
        **{name: _image(size) for name in images},
        **{name: _text() for name in records.TEXTS},
        **{name: _scalar("int64") for name in records.INTEGERS},
        **{name: _scalar("float32") for name in records.FLOATS},
        **{name: _sequence(_scalar("float32")) for name in records.FLOAT_LISTS},
    }
    ordered = {name: kinds[name] for name in records.FEATURES if name in kinds}
    return _feature("features_dict.FeaturesDict", "featuresDict", {"features": ordered})


def _image(size: int) -> Json:
    shape = {"dimensions": [str(size), str(size), "1"]}
    content = {"shape": shape, "dtype": "uint16", "encodingFormat": "png"}
    return _feature("image_feature.Image", "image", content)


def _text() -> Json:
    return _feature("text_feature.Text", "text", {})


def _scalar(kind: str) -> Json:
    return _feature("scalar.Scalar", "tensor", {"shape": {}, "dtype": kind, "encoding": "none"})


def _sequence(item: Json) -> Json:
    content = {"feature": item, "length": _ANY_LENGTH}
    return _feature("sequence_feature.Sequence", "sequence", content)


def _feature(name: str, kind: str, content: Json) -> Json:
    return {"pythonClassName": f"{_CLASSES}.{name}", kind: content}
