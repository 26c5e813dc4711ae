"""Beam's own options, as the programs take them with `--beam`."""

import argparse
import os
import shutil
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions

from beam_pipelines.storage import files
from cgan_tf.runs.errors import UserError

_DEFAULTS = ("--runner=FnApiRunner",)
_OF_THIS_MACHINE = ("fnapirunner", "directrunner", "bundlebaseddirectrunner", "prismrunner")


class _Strict(argparse.ArgumentParser):
    def error(self, message: str):  # type: ignore[no-untyped-def]
        raise UserError(f"--beam: {message}")


def beam_options(flags: Sequence[str]) -> PipelineOptions:
    """Beam's options from `--beam` flags, for the files in stores too.

    An option that Beam does not have is a `UserError` (Beam itself drops it with a warning), and so
    is a missing one that its runner needs. The default runner is FnApiRunner: Beam's own default
    looks for a binary to download.
    """
    parser = _Strict(add_help=False, allow_abbrev=False)
    for options in _with_subclasses(PipelineOptions):
        if "_add_argparse_args" in vars(options):
            options._add_argparse_args(parser)  # type: ignore[arg-type]
    known, unknown = parser.parse_known_args(list(flags))
    if unknown:
        raise UserError(f"--beam={unknown[0]}: Beam has no such option")
    chosen = PipelineOptions([*([] if known.runner else _DEFAULTS), *flags])
    # What workers do is in modules, not in the program's own; Dataflow would send that along.
    chosen.view_as(SetupOptions).save_main_session = False
    try:
        trial = beam.Pipeline(options=chosen)
    except Exception as error:  # of a runner that is not there, of options, of a cloud's client
        raise UserError(f"--beam: {' '.join(str(error).split())[:1000]}") from error
    shutil.rmtree(trial.local_tempdir, ignore_errors=True)  # Beam does so after a run alone
    FileSystems.set_options(chosen)
    return chosen


def on_this_machine(options: PipelineOptions) -> bool:
    """Whether the workers are processes or threads of the program itself."""
    return runner_name(options).lower().rpartition(".")[2] in _OF_THIS_MACHINE


def check_paths(options: PipelineOptions, **paths: str) -> None:
    """Raises `UserError` for paths, by flag, that the workers would not find."""
    for name, path in paths.items():
        if on_this_machine(options) or files.is_remote(path):
            continue
        if "dataflow" in runner_name(options).lower():
            raise UserError(f"--{name}={path}: Dataflow's workers read and write gs:// only")
        if not os.path.isabs(path):
            raise UserError(
                f"--{name}={path}: expected an absolute path with {runner_name(options)}, "
                "whose workers may start in another directory"
            )


def runner_name(options: PipelineOptions) -> str:
    """The runner as it was named, by default or with `--beam=--runner`."""
    return options.view_as(StandardOptions).runner or ""


def _with_subclasses(options: type[PipelineOptions]) -> list[type[PipelineOptions]]:
    classes = [options]
    for subclass in options.__subclasses__():
        classes += [item for item in _with_subclasses(subclass) if item not in classes]
    return classes
