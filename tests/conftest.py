"""What several test modules share."""

import pytest


@pytest.fixture(scope="session")
def toy_experiment(tmp_path_factory):
    """A finished experiment on toy patches; tests read it and never write into it."""
    from tests.toys.experiment import write_toy_experiment

    return write_toy_experiment(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="session")
def toy_sets(tmp_path_factory):
    """Toy patches and a synthetic set of each task; tests read them and never write into them."""
    from tests.toys.classifier import write_toy_sets

    return write_toy_sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def tiny(monkeypatch):
    """ResNet-50 replaced by a small network."""
    import keras

    from tests.toys.tiny_resnet import tiny_resnet

    monkeypatch.setattr(keras.applications, "ResNet50", tiny_resnet)


@pytest.fixture(scope="session")
def gan_runs(tmp_path_factory):
    """A small GAN trained by its program, once without and once with an interruption."""
    from tests.toys.gan_runs import run_twice

    return run_twice(tmp_path_factory.mktemp("gan"))
