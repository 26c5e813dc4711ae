"""A classifier's run that kills itself with SIGKILL at chosen moments and is started again.

python -m tests.toys.killed_classifier ROOT WORKDIR MOMENT...

Every attempt is a process of its own, forked before TensorFlow has started any thread: importing it
anew each time would take most of the time. The last attempt runs to its end. WORKDIR.steps gets a
line for every training step, WORKDIR.npz the weights and Adam's moments at the end.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np

from cgan_tf.classifier import log as classifier_log
from cgan_tf.classifier import pipeline, training
from cgan_tf.runs import training as runs_training
from tests.toys.classifier import toy_config
from tests.toys.tiny_resnet import tiny_resnet


def main(root: str, workdir: str, *moments: str) -> None:
    """Each attempt but the last must have died by SIGKILL, the last must have ended well."""
    expected = [*(-signal.SIGKILL for _ in moments), 0]
    for moment, code in zip([*moments, "never"], expected, strict=True):
        child = os.fork()
        if not child:
            _attempt(Path(root), Path(workdir), moment)
            os._exit(0)
        found = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if found != code:
            raise SystemExit(f"{moment}: expected exit code {code}, found {found}")


def _attempt(root: Path, workdir: Path, moment: str) -> None:
    keras.applications.ResNet50 = tiny_resnet
    _log_steps(workdir.with_suffix(".steps"), moment)
    _die_in(pipeline, "write_json", moment == "plan")
    _die_in(classifier_log.ClassifierLog, "add_validation", moment == "validation")
    _die_in(training, "finish_run", moment == "manifest")
    _die_in(runs_training, "_write_checksums", moment == "checkpoint")
    _keep_state(workdir.with_suffix(".npz"))
    # A checkpoint after every step, unless the run must fall back further.
    minutes = 1e9 if moment == "without checkpoint" else 0.0
    training.train_classifier(toy_config(root, workdir, checkpoint_minutes=minutes))


def _log_steps(path: Path, moment: str) -> None:
    """Notes sample number and patches of each step; dies after the fourth at moment `step`."""
    train_step, done = training.train_step, []

    def logged(model, optimizer, state):
        step = train_step(model, optimizer, state)

        def run(patches, labels):
            step(patches, labels)
            content = hashlib.sha256(patches.numpy().tobytes() + labels.numpy().tobytes())
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{int(state['seen'])} {content.hexdigest()}\n")
            done.append(1)
            if moment in ("step", "without checkpoint") and len(done) == 4:
                os.kill(os.getpid(), signal.SIGKILL)

        return run

    training.train_step = logged


def _die_in(owner, name: str, active: bool) -> None:
    if active:
        setattr(owner, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))


def _keep_state(path: Path) -> None:
    finish = training.ClassifierTraining._finish

    def kept(self, plan, log):
        variables = [*self.model.weights, *self.optimizer.variables, *self.state.values()]
        np.savez(path, *(variable.numpy() for variable in variables))
        finish(self, plan, log)

    training.ClassifierTraining._finish = kept


if __name__ == "__main__":
    main(*sys.argv[1:])
