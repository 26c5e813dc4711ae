"""What several test modules share. Tests read it and never write into it."""

import fcntl
import functools
import gc
import pickle
import shutil

import pytest

# What takes longest begins first: a worker that began it last would keep the others waiting.
LONGEST = (
    *("gan/test_kills.py", "gan/test_distribution.py"),  # slow ones
    *("end_to_end/test_chain.py", "gan/test_training.py", "gan/test_model.py"),
    *("classifier/test_training.py", "workflows/test_sweep.py", "synthesis/test_run.py"),
    *("phantom/test_omidb_json.py", "patches/test_job.py", "reporting/test_page.py"),
    *("insertion/test_job.py", "jobs/test_remote.py", "gan/test_export.py"),
    *("models/test_small.py", "reporting/test_quality.py", "assessment/test_run_faults.py"),
    *("models/test_resnet.py", "reporting/test_page_hostile.py", "assessment/test_run.py"),
    *("models/test_generator.py", "models/test_networks.py", "dicom/test_damage.py"),
    *("contracts/test_privacy.py", "classifier/test_pipeline_plan.py"),
)

# Collection imports a million objects that stay; walking over them frees nothing.
gc.disable()


def pytest_collection_finish():
    """Lets the collector run again, over what the tests make alone."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items):
    """Puts the tests of the longest files first, each file's in their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get("/".join(item.path.parts[-2:]), len(places)))


def build_once(root, name, build):
    """What `build(root / name)` returned, which the first process that asks calls.

    The others wait for it, and get a copy by pickle.
    """
    directory, result = root / name, root / f"{name}.pickle"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            shutil.rmtree(directory, ignore_errors=True)  # of a process whose build failed
            directory.mkdir()
            made = pickle.dumps(build(directory))
            result.write_bytes(made)
    return pickle.loads(result.read_bytes())


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """`build_once` in a directory that all of pytest's workers have in common."""
    base = tmp_path_factory.getbasetemp()
    return functools.partial(build_once, base if worker_id == "master" else base.parent)


@pytest.fixture(scope="session")
def phantom(once):
    """A phantom of women enough for every quirk and every damage."""
    from tests.toys.phantom_tree import DAMAGED, write_phantom

    # One process: others would import everything again, and both cores have tests to run.
    flags = {"clients": 34, "seed": 3, "broken_files": DAMAGED, "workers": 1}
    return once("phantom", functools.partial(write_phantom, **flags))


@pytest.fixture(scope="session")
def few_films(once):
    """A phantom of two women."""
    from tests.toys.phantom_tree import write_phantom

    return once("few_films", functools.partial(write_phantom, clients=2, seed=3, broken_files=0))


@pytest.fixture(scope="session")
def toy_experiment(once):
    """A finished experiment on toy patches."""
    from tests.toys.experiment import write_toy_experiment

    return once("experiment", write_toy_experiment)


@pytest.fixture(scope="session")
def toy_sets(once):
    """Toy patches and a synthetic set of each task."""
    from tests.toys.classifier import write_toy_sets

    return once("sets", write_toy_sets)


@pytest.fixture
def tiny(monkeypatch):
    """ResNet-50 replaced by a small network."""
    import keras

    from tests.toys.tiny_resnet import tiny_resnet

    monkeypatch.setattr(keras.applications, "ResNet50", tiny_resnet)


@pytest.fixture(scope="session")
def gan_run(once):
    """A small GAN trained by its program."""
    from tests.toys.gan_runs import run_to_the_end

    return once("gan", run_to_the_end)


@pytest.fixture(scope="session")
def resumed_gan_run(once, gan_run):
    """The same GAN trained by its program with two interruptions."""
    from tests.toys.gan_runs import run_interrupted

    return once("resumed_gan", functools.partial(run_interrupted, gan_run.config))
