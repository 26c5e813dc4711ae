"""What pyproject.toml cannot say: the wheel holds configs/, and README's links work outside of a
checkout."""

import re
import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)")


class BuildWithConfigs(build_py):
    """Copies configs/ into `cgan_tf`, where `runs.flags.shipped` finds it; not when editable."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "cgan_tf", "configs")
            shutil.copytree(ROOT / "configs", target, dirs_exist_ok=True)


def readme() -> str:
    """README.md with links into the public repository; without them while there is none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = project.get("urls", {}).get("Source", "")

    def absolute(link: re.Match[str]) -> str:
        picture, text, path = link.groups()
        if not source:
            return "" if picture else text
        return f"{picture}[{text}]({source}/{'raw' if picture else 'blob'}/main/{path})"

    return LINK.sub(absolute, (ROOT / "README.md").read_text(encoding="utf-8"))


setup(
    cmdclass={"build_py": BuildWithConfigs},
    long_description=readme(),
    long_description_content_type="text/markdown",
)
