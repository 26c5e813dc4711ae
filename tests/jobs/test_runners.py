"""The patch job on other runners: a job service with worker processes, Dataflow's translation."""

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam import coders
from apache_beam.internal import pickler
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext

from beam_pipelines.jobs import options as jobs_options
from beam_pipelines.jobs import work as jobs_work
from beam_pipelines.patches.job import make_patches
from beam_pipelines.patches.shards import CutToSpill
from cgan_tf.config import PatchesConfig
from cgan_tf.runs.errors import UserError
from tests.contracts.test_configs import parse_strictly
from tests.toys.omidb_tree import MARK, Tree, malignant, screening
from tests.toys.waiting import wait_until

ROOT = Path(__file__).parents[2]
WAIT = 120  # seconds for a service to end


@contextlib.contextmanager
def _service(module, port, log):
    """A service of Beam on a port of this machine, with `python` from this environment first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-W", "ignore", "-m", *module]
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, cwd=ROOT, env={**os.environ, "PATH": path}
        )
    try:
        wait_until(lambda: _answers(port), process)
        yield
    finally:
        process.terminate()
        process.wait(WAIT)


def _answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
        return True
    return False


def _free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def _config(tree, output, *beam):
    counts = {name: 0 for name in vars(PatchesConfig()) if name.startswith(("train_", "eval_"))}
    del counts["train_fraction"]
    counts |= {"train_normal": 6, "train_malignant_mass": 5}
    return PatchesConfig(
        input_dir=str(tree.root),
        output_dir=str(output),
        size=32,
        all_in_split="train",
        beam=beam,
        **counts,
    )


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path / "tree")
    tree.client("demd1", {"LCC": {"7": MARK}, "LMLO": {"7": MARK}}, screening(SURGERY=malignant()))
    tree.client("demd2", {"LCC": None, "RMLO": None})
    tree.client("demd3", {"LCC": None})
    return tree


def _files(directory):
    own = ("run.json", "manifest.json", "metrics.json", ".lock")
    found = [path for path in directory.rglob("*") if path.is_file() and path.name not in own]
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_job_service_with_worker_processes_gives_the_same_shards(tree, tmp_path):
    jobs, pool = _free_port(), _free_port()
    service = ("apache_beam.runners.portability.local_job_service_main", "-p", str(jobs))
    workers = ("apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}")
    beam = (
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{jobs}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{pool}",
    )
    with (
        _service(service, jobs, tmp_path / "jobs.log"),
        _service(workers, pool, tmp_path / "pool.log"),
    ):
        make_patches(_config(tree, tmp_path / "portable", *beam))
    make_patches(_config(tree, tmp_path / "local"))
    assert _files(tmp_path / "portable") == _files(tmp_path / "local")
    measured = json.loads((tmp_path / "portable" / "metrics.json").read_text())
    assert measured["cut"]["counters"]["images_cut"] == 5
    assert "Starting worker with command" in (tmp_path / "pool.log").read_text()


def test_a_runner_that_is_not_there_is_one_line(tree, tmp_path):
    with pytest.raises(UserError, match=r"--beam: .*DataflowRunnr"):
        jobs_options.beam_options(("--runner=DataflowRunnr",))


# Dataflow


FILLED_IN = (
    "--project=project-of-ours",
    "--region=europe-west2",
    "--temp_location=gs://bucket-of-ours/tmp",
    "--sdk_container_image=europe-west2-docker.pkg.dev/project-of-ours/images/cgan-worker:1",
    "--job_name=patches",
    "--no_auth",
)
IMAGE = FILLED_IN[3].partition("=")[2]
OUTPUT = "gs://bucket-of-ours/patches"
RESULTS = f"{OUTPUT}/.spill/round0-results"
PLACES = [(f"{OUTPUT}/.spill/round0-items.jsonl", 0, 65536)]


@pytest.fixture(scope="module")
def submitted():
    """(the job that Dataflow would be given, the files that would be uploaded by name)."""
    from apache_beam.internal.gcp import auth
    from apache_beam.io.gcp import gcsio
    from apache_beam.runners.dataflow.internal import apiclient

    jobs, uploaded = [], {}

    def upload(self, folder, name, content, *more, **named):
        data = Path(content).read_bytes() if isinstance(content, str) else content.read()
        uploaded[f"{folder}/{name}"] = data

    client = apiclient.DataflowApplicationClient
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(client, "stage_file_with_retry", upload)
        monkeypatch.setattr(client, "submit_job_description", lambda self, job: jobs.append(job))
        monkeypatch.setattr(auth._Credentials, "_credentials_init", True)  # none, without a look
        monkeypatch.setattr(gcsio.GcsIO, "is_soft_delete_enabled", lambda *arguments: False)
        given = parse_strictly(ROOT / "configs" / "dataflow.cfg").beam
        options = jobs_options.beam_options((*given, *FILLED_IN))
        jobs_options.check_paths(options, input_dir="gs://bucket-of-ours/in", output_dir=OUTPUT)
        pipeline = jobs_work.beam.Pipeline(options=options)
        function = CutToSpill(PatchesConfig(output_dir=OUTPUT), f"{OUTPUT}/.spill")
        jobs_work.build_work(pipeline, function, PLACES, RESULTS)
        with contextlib.suppress(AttributeError):  # nothing was submitted, so there is no job id
            pipeline.run()
    (job,) = jobs
    return job.proto, uploaded


def _graph(uploaded):
    (name,) = [name for name in uploaded if name.endswith("/pipeline.pb")]
    assert name.startswith("gs://bucket-of-ours/tmp/patches.")
    return beam_runner_api_pb2.Pipeline.FromString(uploaded[name])


def test_dataflow_gets_our_machines_threads_and_image(submitted):
    job, uploaded = submitted
    assert job.name == "patches"
    (pool,) = job.environment.worker_pools
    assert pool.machine_type == "n2-standard-4"
    assert pool.num_threads_per_worker == 2
    assert pool.disk_size_gb == 50
    assert pool.autoscaling_settings.max_num_workers == 32
    assert pool.worker_harness_container_image == IMAGE
    (image,) = pool.sdk_harness_container_images
    assert image.container_image == IMAGE
    assert image.use_single_core_per_container  # a process a core
    place = job.environment.temp_storage_prefix
    assert place.startswith("storage.googleapis.com/bucket-of-ours/tmp/patches.")
    # No session of the program's: workers import modules.
    assert {name.rpartition("/")[2] for name in uploaded} == {
        "pipeline.pb",
        "submission_environment_dependencies.txt",
    }


def test_dataflow_gets_every_stage(submitted):
    graph = _graph(submitted[1])
    components = graph.components
    stages = {item.unique_name: item for item in components.transforms.values()}
    urns = {
        name: item.spec.urn
        for name, item in stages.items()
        if "/" not in name and not name.startswith("ref_")
    }
    assert urns == {
        "Places": "beam:transform:pickled_python:v1",
        "SpreadPlaces": common_urns.composites.RESHUFFLE.urn,
        "FindItems": common_urns.primitives.PAR_DO.urn,
        "SpreadItems": common_urns.composites.RESHUFFLE.urn,
        "ReadItems": common_urns.primitives.PAR_DO.urn,
        "Work": common_urns.primitives.PAR_DO.urn,
        "KeepResults": common_urns.primitives.PAR_DO.urn,
        "Collect": common_urns.primitives.GROUP_BY_KEY.urn,
        "JoinResults": common_urns.primitives.PAR_DO.urn,
    }
    order = ["Places", "SpreadPlaces", "FindItems", "SpreadItems", "ReadItems", "Work"]
    order += ["KeepResults", "Collect", "JoinResults"]
    for before, after in itertools.pairwise(order):
        (made,) = stages[before].outputs.values()
        (taken,) = stages[after].inputs.values()
        assert made == taken, (before, after)
    environments = {item.environment_id for item in stages.values() if item.environment_id}
    (environment,) = environments
    payload = components.environments[environment].payload
    docker = beam_runner_api_pb2.DockerPayload.FromString(payload)
    assert docker.container_image == IMAGE


def test_dataflow_gets_coders_that_every_runner_knows(submitted):
    """Nothing but places goes through the shuffle, and no pickled key."""
    components = _graph(submitted[1]).components
    context = PipelineContext(components)
    found = {
        item.unique_name: context.coders.get_by_id(
            components.pcollections[next(iter(item.outputs.values()))].coder_id
        )
        for item in components.transforms.values()
        if item.outputs
    }
    text, number = coders.StrUtf8Coder(), coders.VarIntCoder()
    place = coders.TupleCoder((text, number, number))
    for name in ("SpreadPlaces", "FindItems", "SpreadItems"):
        assert found[name] == place, name
    assert found["KeepResults"] == coders.TupleCoder((number, text))
    assert found["Collect"] == coders.TupleCoder((number, coders.IterableCoder(text)))


def test_dataflow_gets_our_functions_and_the_output_path(submitted):
    transforms = _graph(submitted[1]).components.transforms.values()
    functions = {}
    for item in transforms:
        if item.unique_name in ("FindItems", "ReadItems", "Work", "KeepResults", "JoinResults"):
            pardo = beam_runner_api_pb2.ParDoPayload.FromString(item.spec.payload)
            assert pardo.do_fn.urn == "beam:dofn:pickled_python_info:v1"
            functions[item.unique_name] = pickler.loads(pardo.do_fn.payload)[0]
            # By name, so that the worker's own modules do the work.
            assert b"__main__" not in pardo.do_fn.payload
    work = functions["Work"].function
    assert work == CutToSpill(PatchesConfig(output_dir=OUTPUT), f"{OUTPUT}/.spill")
    assert work.directory.startswith("gs://bucket-of-ours/patches")
    assert functions["KeepResults"].directory.startswith(RESULTS)
    assert RESULTS in repr(_values_in(functions["JoinResults"]))


def _values_in(thing, depth=6):
    """The attributes and closures below an object, as far as they may hold a path."""
    if isinstance(thing, str) or depth == 0:
        return [thing]
    inside = list(getattr(thing, "__dict__", {}).values())
    inside += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
    return [value for item in inside for value in _values_in(item, depth - 1)]


@pytest.mark.parametrize("missing", ["--project", "--region"])
def test_what_dataflow_misses_is_one_line(missing, monkeypatch):
    from apache_beam.internal.gcp import auth
    from apache_beam.io.gcp import gcsio

    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)
    monkeypatch.setattr(gcsio.GcsIO, "is_soft_delete_enabled", lambda *arguments: False)
    monkeypatch.setenv("PATH", "")  # no gcloud to ask for a region
    flags = [flag for flag in FILLED_IN if not flag.startswith(missing)]
    with pytest.raises(UserError, match=missing.strip("-")) as fault:
        jobs_options.beam_options(("--runner=DataflowRunner", *flags))
    assert "\n" not in str(fault.value)


def test_dataflow_has_no_local_files(monkeypatch):
    from apache_beam.internal.gcp import auth
    from apache_beam.io.gcp import gcsio

    monkeypatch.setattr(auth._Credentials, "_credentials_init", True)  # none, without a look
    monkeypatch.setattr(gcsio.GcsIO, "is_soft_delete_enabled", lambda *arguments: False)
    options = jobs_options.beam_options(("--runner=DataflowRunner", *FILLED_IN))
    with pytest.raises(UserError, match="--input_dir=/data: Dataflow's workers read"):
        jobs_options.check_paths(options, input_dir="/data", output_dir=OUTPUT)
