"""Defaults: what the paper states, lengths at other sizes, options that a flag can hold."""

import dataclasses
import math

import pytest

from cgan_tf import config, labels
from tests.runs.test_flags import CONFIG_CLASSES


@pytest.mark.parametrize(
    ("pixels_at_256", "size", "expected"),
    [
        (10, 256, 10),
        (10, 128, 5),
        (5, 128, 2),  # 2.5 to the even number
        (5, 64, 1),
        (1, 32, 1),  # 0.125 is still one pixel
        (0, 64, 0),  # but nothing stays nothing
        (128, 64, 32),
    ],
)
def test_lengths_scale_with_the_size(pixels_at_256, size, expected):
    assert labels.scaled_length(pixels_at_256, size) == expected


def test_every_option_is_documented_and_its_default_is_allowed():
    for config_class in CONFIG_CLASSES:
        for field in dataclasses.fields(config_class):
            where = f"{config_class.__name__}.{field.name}"
            assert field.metadata["help"], where
            choices = field.metadata["choices"]
            assert not choices or field.default in choices, where


def test_every_number_has_a_range_and_its_default_is_in_it():
    for config_class in CONFIG_CLASSES:
        for field in dataclasses.fields(config_class):
            where = f"{config_class.__name__}.{field.name}"
            bounds = field.metadata["range"]
            assert (bounds is not None) == (field.type in (int, float)), where
            assert bounds is None or field.default in bounds, where


@pytest.mark.parametrize(
    ("bounds", "text", "inside", "outside"),
    [
        (config.COUNT, "1 or more", (1, 1e9), (0, -3, math.inf, math.nan)),
        (config.WHOLE, "0 or more", (0, 7), (-1, -1e-9)),
        (config.POSITIVE, "more than 0", (1e-9, 3), (0, -1)),
        (config.FRACTION, "0 to 1", (0, 0.5, 1), (60, 1.01, -0.1, math.nan)),
        (config.BELOW_ONE, "0 or more and below 1", (0, 0.999), (1, -0.1)),
        (config.Range(0, also=-1), "0 or more, or -1", (-1, 0, 0.4), (-0.5, -2)),
        (config.Range(0, 16), "0 to 16", (0, 16), (17, -1)),
    ],
)
def test_ranges(bounds, text, inside, outside):
    assert str(bounds) == text
    assert all(value in bounds for value in inside)
    assert not any(value in bounds for value in outside)


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.GanConfig().size = 3


def test_classes_are_consistent():
    assert set(labels.LESION_CLASSES) < set(labels.PATCH_CLASSES)
    assert set(labels.MALIGNANT_CLASSES) < set(labels.LESION_CLASSES)
    assert len(set(labels.PATCH_CLASSES)) == len(labels.PATCH_CLASSES)


# Each value as the paper prints it; the classifier's own are in test_classifier.py.
PAPER_VALUES = {
    config.PatchesConfig: {
        "size": 256,
        "train_normal": 400_000,
        "train_malignant_mass": 42_280,
        "train_benign_mass": 3_500,
        "train_malignant_calcification": 24_100,
        "train_benign_calcification": 6_580,
        "eval_normal": 1_000,
        "eval_malignant_mass": 1_000,
        "eval_malignant_calcification": 1_000,
        "train_fraction": 0.6,
        "validation_fraction": 0.2,
        "min_tissue": 0.9,
        "max_offset": 128,
        "scale_min": 0.8,
        "scale_max": 1.2,
    },
    config.GanConfig: {
        "size": 256,
        "generator_filters": 16,
        "bottleneck_filters": 2048,
        "embedding_channels": 4,
        "border": 10,
        "discriminator_multiplier": 8,
        "benign_weight": 0.2,
        "normal_weight": 0.2,
        "penalty_weight": 10.0,
        "penalty_target": 1.0,
        "learning_rate": 1e-5,
        "beta_1": 0.0,
        "beta_2": 0.99,
        "epsilon": 1e-8,
        "fade_in_steps": 3_000,
        "mode_seeking_weight": 0.0,
    },
    config.SynthesisConfig: {
        "count": 5_000,
        "threshold": 0.1,
        "min_area_fraction": 0.1,
        "dilation": 5,
        "smoothing": 10.0,
    },
}


@pytest.mark.parametrize("config_class", PAPER_VALUES, ids=lambda c: c.__name__)
def test_defaults_are_the_papers(config_class):
    defaults = dataclasses.asdict(config_class())
    expected = PAPER_VALUES[config_class]
    assert {name: defaults[name] for name in expected} == expected
