"""A directory as the demo leaves it, of toys: what the examples in docs/ and notebooks/ read."""

from pathlib import Path

from tests.toys.blob_generator import write_generator


def write_demo_tree(root: Path, experiment: Path, phantom: Path) -> Path:
    """Links to the toys of tests, and a generator whose lesions are known, in the demo's places."""
    (root / "classifier").mkdir(parents=True)
    (root / "gan" / "mass").mkdir(parents=True)
    (root / "patches").symlink_to(experiment / "patches")
    (root / "phantom").symlink_to(phantom)
    for name in ("baseline", "mixed"):
        (root / "classifier" / name).symlink_to(experiment / name)
    write_generator(root / "gan" / "mass" / "generator")
    return root
