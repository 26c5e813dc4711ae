"""The program package: everything into a directory of its own, which then gets its name."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cgan_tf.config import PackageConfig
from cgan_tf.runs import console
from cgan_tf.runs.directory import sha256, write_bytes
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges

CHECKSUMS = "SHA256SUMS"


def make_package(config: PackageConfig) -> None:
    """Packs the generator of `config.generator` or the set of `config.synthetic_dir`."""
    check_config(config)
    console.quiet_tensorflow()
    with staged(Path(config.output_dir)) as directory:
        if config.generator:
            from cgan_tf.release.generator import pack_generator

            line = pack_generator(config, directory)
        else:
            from cgan_tf.release.dataset import pack_set

            line = pack_set(config, directory)
        write_bytes(directory / CHECKSUMS, checksums(directory))
    print(f"{config.output_dir}: {line}")
    print("Read README.md before you hand it on: it says what is known, and what is not.")


def check_config(config: PackageConfig) -> None:
    """Raises `UserError` for flags that make no package, and for a directory that is there."""
    check_ranges(config)
    if bool(config.generator) == bool(config.synthetic_dir):
        found = "both" if config.generator else "neither"
        raise UserError(f"expected --generator or --synthetic_dir, found {found}")
    if os.path.lexists(config.output_dir):
        raise UserError(f"{config.output_dir}: expected no such directory, found one")


@contextlib.contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """A block that fills a new directory, which gets its name when all of it is there.

    What the disk refuses is a `UserError` that names the directory.
    """
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(directory)
    except OSError as error:
        raise UserError(f"{directory}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def checksums(directory: Path) -> bytes:
    """What `sha256sum --check` reads: every file of a directory, by name."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    lines = (f"{sha256(path)}  {path.relative_to(directory).as_posix()}\n" for path in files)
    return "".join(lines).encode()
