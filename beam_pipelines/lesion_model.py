"""The generator as a model of `apache_beam.ml.inference`.

Beam's own handlers for TensorFlow want Keras models or weights, and refuse SavedModels. This is
the one module here that TensorFlow is imported for, in the worker that loads the generator.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from beam_pipelines.lesion_draws import Answer, Request, draw_lesions
from cgan_tf.config import InsertionConfig
from cgan_tf.generator_card import task_of
from cgan_tf.progress import quiet_tensorflow
from cgan_tf.threads import Threads, set_threads


class LesionModelHandler(ModelHandler[Request, Answer, Any]):
    """Gives every place of an image its lesion.

    A batch of Beam's is a number of images, and each of them is a batch of its own for the
    generator: bits depend on the shape of a batch, and Beam's depend on the clock.
    """

    def __init__(self, config: InsertionConfig, card: dict[str, Any], threads: Threads):
        # One image at a time: there is nothing to gain from more, and images take memory.
        super().__init__(max_batch_size=1)
        self.config, self.card, self.threads = config, card, threads
        self.task = task_of(config, card)

    def load_model(self) -> Any:
        """The generator's `with_noise` signature, its files compared with their checksum first."""
        quiet_tensorflow()
        set_threads(self.threads)
        from cgan_tf.export import load_generator

        function, _ = load_generator(self.config.generator)
        return function

    def run_inference(
        self, batch: Sequence[Request], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterable[Answer]:
        """One answer a request."""
        from cgan_tf.export import generate

        def channels(patches: np.ndarray, z: np.ndarray) -> np.ndarray:
            return generate(model, self.card, self.task, patches, z)

        extraction = {
            "removal": self.task == "removal",
            "min_area_fraction": self.config.min_area_fraction,
            **self.config.postprocessing(self.card["size"]),
        }
        return [draw_lesions(channels, request, extraction) for request in batch]

    def get_num_bytes(self, batch: Sequence[Request]) -> int:
        """For Beam's metrics."""
        return sum(request.patches.nbytes for request in batch)

    def get_metrics_namespace(self) -> str:
        """For Beam's metrics."""
        return "insert_lesions"
