"""Curves of several GAN trainings over one another: a panel a column of metrics.csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.config import CurvesConfig
from cgan_tf.errors import UserError
from cgan_tf.report_data import read_table
from cgan_tf.report_style import LINE_COLOURS, house_style, png, row_size
from cgan_tf.run_directory import read_json, write_bytes

PLACES = ("workdir", "patches_dir")  # flags that say where, not what

Curves = Mapping[str, np.ndarray]


def plot_curves(config: CurvesConfig) -> None:
    """Writes --output from the metrics.csv of --runs, finished or not."""
    curves = [read_curves(Path(run), config.columns) for run in config.runs]
    flags = [read_json(Path(run) / "run.json").get("flags", {}) for run in config.runs]
    figure = curves_figure(dict(zip(run_names(config.runs, flags), curves, strict=True)))
    write_bytes(config.output, png(figure))


def read_curves(run: Path, columns: Sequence[str]) -> Curves:
    """`step` and the columns asked for, float64 [rows] each; `UserError` naming what is missing."""
    path = run / "metrics.csv"
    rows = read_table(path)
    for name in ("step", *columns):
        if not rows or name not in rows[0]:
            found = ", ".join(rows[0]) if rows else "no row"
            raise UserError(f"{path}: expected column '{name}', found {found}")
    return {name: np.array([float(row[name]) for row in rows]) for name in ("step", *columns)}


def run_names(runs: Sequence[str], flags: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells runs apart: the flags that are not the same in all; else their directories."""
    known = sorted({name for values in flags for name in values} - set(PLACES))
    telling = [name for name in known if len({str(values.get(name)) for values in flags}) > 1]
    names = [", ".join(f"{name}={values.get(name)}" for name in telling) for values in flags]
    return names if telling and len(set(names)) == len(names) else list(runs)


@house_style
def curves_figure(curves: Mapping[str, Curves]) -> Figure:
    """A panel a column, a line a run."""
    columns = [name for name in next(iter(curves.values())) if name != "step"]
    figure = Figure(figsize=row_size(len(columns)), layout="constrained")
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for axis, name in zip(axes, columns, strict=True):
        for number, (run, values) in enumerate(curves.items()):
            colour = LINE_COLOURS[number % len(LINE_COLOURS)]
            axis.plot(values["step"], values[name], color=colour, linewidth=1.1, label=run)
        axis.set(title=name, xlabel="iteration")
    axes[0].legend()
    return figure
