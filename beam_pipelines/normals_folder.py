"""A data set with lesions, and a folder of healthy mammograms beside it, as one source."""

import dataclasses

from beam_pipelines.folder import Folder, open_folder
from beam_pipelines.sources import HEALTHY, Source, UnitIndex
from cgan_tf.config import PatchesConfig
from cgan_tf.errors import UserError

_EVIDENCE = "said to be healthy by --normals_dir"
_FIRST, _BESIDE = "data set:", "normals:"  # what the names of units begin with


@dataclasses.dataclass(frozen=True)
class WithNormals:
    """`source`, and the images of `folder` as healthy ones."""

    source: Source
    folder: Folder
    labelled = True

    def units(self) -> list[str]:
        """The units of both."""
        return [_FIRST + unit for unit in self.source.units()] + [
            _BESIDE + unit for unit in self.folder.units()
        ]

    def read_unit(self, unit: str) -> UnitIndex:
        """One unit of either."""
        if unit.startswith(_FIRST):
            return self.source.read_unit(unit.removeprefix(_FIRST))
        index = self.folder.read_unit(unit.removeprefix(_BESIDE))
        healthy = (
            dataclasses.replace(image, use=HEALTHY, evidence=_EVIDENCE) for image in index.images
        )
        return dataclasses.replace(index, images=tuple(healthy))


def with_normals(source: Source, config: PatchesConfig) -> WithNormals:
    """A source with the folder `--normals_dir`; `UserError` where the source has no labels."""
    if not source.labelled:
        raise UserError(f"--normals_dir: expected with lesions, found --source={config.source}")
    return WithNormals(source, open_folder(config.normals_dir, config.allow_synthetic))
