"""Outcomes in a folder: what probes found, unit by unit, so that it can be compared with what others find later.

    outcomes.json         format and version; of each outcome its probe, metrics, units, names of units and facts; what it is about;
                          `Figures`, which have no units
    outcomes.safetensors  the columns and curves of numbers; columns of text stand in the JSON

Other files of the folder are left alone. A crash while a newer pair is written leaves the older one readable. Nothing is ever
unpickled, and no path is read from the files: a metric that is no mean is found again by the name of the probe, in the METRICS of its
module. Next to `outcome`, which is the form of what is stored here.

`facts["fingerprint"]`, where an outcome has it, says on what was measured: outcomes with different ones are not compared.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.card import Card
from nearfar.core.directories import flush
from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError
from nearfar.core.files import ensure_directory, read_json, sha256, umask, unwritable
from nearfar.core.parts import find
from nearfar.probes.figures import Figures
from nearfar.probes.outcome import Metric, Outcome

CARD = Card(
    name="stored_outcomes",
    summary="outcomes of probes in a folder, per unit: written whole, read with every check",
    related=("outcome", "figures", "statistics"),
    public=("save_outcomes", "load_outcomes", "load_figures"),
)

FORMAT, VERSION = "nearfar-outcomes", 1
DESCRIPTION, VALUES = "outcomes.json", "outcomes.safetensors"
PREVIOUS = f".{VALUES}.previous"  # the older columns, until the description of the newer ones is in place
DAMAGED = "the files are damaged or of different measurements; measure again"


def save_outcomes(
    folder: Path,
    outcomes: Mapping[str, Outcome],
    about: Mapping[str, Any],
    figures: Mapping[str, Figures] | None = None,
) -> None:
    """Write outcomes by name (of a task, a data set) and what they are about into a folder, whole or not at all.

    about    anything worth knowing later, as JSON: the model, the data and their fingerprints, settings
    figures  by name, what was measured as a whole and has no units

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> found = Outcome("knn", "accuracy", "records", {"accuracy": np.array([1.0, 0.0])}, means=("accuracy",))
    >>> save_outcomes(place, {"digits": found}, {"model": "runs/pairs-1"})
    >>> outcomes, about = load_outcomes(place)
    >>> outcomes["digits"].figures(), about
    ({'accuracy': 0.5}, {'model': 'runs/pairs-1'})

    Raises UsageError for nothing at all, for what is no JSON, and for a metric that could not be found again; ResourceError
    where the folder cannot be written.
    """
    if not outcomes and not figures:
        raise UsageError("there is no outcome to store", where="outcomes", remedy="give one or more by name")
    arrays: dict[str, NDArray[Any]] = {}
    whole = {name: _described_figures(name, one, arrays) for name, one in (figures or {}).items()}
    described = {}
    for number, (name, outcome) in enumerate(outcomes.items()):
        described[name] = _described(name, outcome)
        for column, values in outcome.columns.items():
            values = np.asarray(values)
            if values.dtype.kind in "UO":
                described[name]["texts"][column] = _texts(values, f"{name}: {column}")
            elif values.dtype.kind not in "biuf" or values.itemsize > 8:
                raise UsageError(
                    f"a column of {values.dtype} cannot be stored",
                    where=f"{name}: {column}",
                    remedy="give integers, floats, bools or texts",
                )
            else:
                described[name]["columns"][column] = f"{number}.{column}"
                arrays[f"{number}.{column}"] = np.ascontiguousarray(values)
    folder = Path(folder)
    ensure_directory(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".outcomes.building-", dir=folder) as temporary:
            _write(Path(temporary), arrays, {"about": about, "outcomes": described, "figures": whole})
            _into_place(Path(temporary), folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def load_outcomes(folder: Path) -> tuple[dict[str, Outcome], dict[str, Any]]:
    """Outcomes by name, and what they are about, as `save_outcomes` wrote them.

    Raises DataError where there are none, for files that are damaged, of another version or do not belong together, and for a metric
    whose probe is not installed.
    """

    def read(data: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], path: Path) -> Any:
        outcomes = {str(name): _outcome(entry, arrays, path) for name, entry in data["outcomes"].items()}
        return outcomes, dict(data["about"])

    return _read(Path(folder), read)


def load_figures(folder: Path) -> dict[str, Figures]:
    """What was measured as a whole and has no units, by name, as `save_outcomes` wrote it; often nothing.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> save_outcomes(place, {}, {}, {"corpus": Figures("rank_me", "rank_me", {"rank_me": 3.0})})
    >>> load_figures(place)["corpus"].figures()
    {'rank_me': 3.0}

    Raises DataError as `load_outcomes` does.
    """

    def read(data: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], path: Path) -> Any:
        return {str(name): _figures(entry, arrays, path) for name, entry in data.get("figures", {}).items()}

    return _read(Path(folder), read)


def _read(folder: Path, read: Callable[[Mapping[str, Any], Mapping[str, NDArray[Any]], Path], Any]) -> Any:
    path = folder / DESCRIPTION
    data = read_json(path, format=FORMAT, version=VERSION)
    arrays = _arrays(folder, data.get("values"))
    try:
        return read(data, arrays, path)
    except (DataError, ResourceError):
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"a description is incomplete: {error}", where=str(path), remedy=DAMAGED) from error


def has_outcomes(folder: Path) -> bool:
    """Whether `load_outcomes` has something to read there."""
    return (Path(folder) / DESCRIPTION).is_file()


def _described(name: str, outcome: Outcome) -> dict[str, Any]:
    for metric, function in outcome.metrics.items():
        if _metrics_of(outcome.probe, name).get(metric) is not function:
            raise UsageError(
                f"the metric {metric!r} is not the one in METRICS of the probe {outcome.probe!r}, and would be lost",
                where=name,
                remedy="define it at the top of the probe's module, and list it there in METRICS",
            )
    return {
        "probe": outcome.probe,
        "main": outcome.main,
        "units": outcome.units,
        "means": list(outcome.means),
        "metrics": list(outcome.metrics),
        "swapped": list(outcome.swapped),
        "higher": dict(outcome.higher),
        "facts": dict(outcome.facts),
        "names": [str(unit) for unit in outcome.names],
        "columns": {},
        "texts": {},
    }


def _described_figures(name: str, figures: Figures, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    curves = {curve: f"figures.{name}.{curve}" for curve in figures.curves}
    arrays |= {curves[curve]: np.ascontiguousarray(v, dtype=np.float64) for curve, v in figures.curves.items()}
    return {
        "probe": figures.probe,
        "main": figures.main,
        "values": {value: float(number) for value, number in figures.values.items()},
        "higher": dict(figures.higher),
        "facts": dict(figures.facts),
        "curves": curves,
    }


def _figures(entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], path: Path) -> Figures:
    curves = {name: arrays[key] for name, key in entry["curves"].items()}
    values = {name: float(value) for name, value in entry["values"].items()}
    try:
        return Figures(entry["probe"], entry["main"], values, curves, entry["higher"], entry["facts"])
    except NearfarError as error:
        raise DataError(error.what, where=str(path), remedy=DAMAGED) from error


def _texts(values: NDArray[Any], where: str) -> list[str]:
    texts = values.tolist()
    if values.ndim != 1 or not all(isinstance(text, str) for text in texts):
        raise UsageError("a column of objects cannot be stored", where=where, remedy="give numbers, or one text a unit")
    return texts


def _write(temporary: Path, arrays: Mapping[str, NDArray[Any]], data: Mapping[str, Any]) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(dict(arrays), temporary / VALUES)
    except SafetensorError as error:  # a full disk, mostly
        raise ResourceError(f"the columns cannot be written: {error}", remedy="make room on the disk") from error
    except KeyError as error:
        raise UsageError(
            f"columns of type {error} cannot be stored", remedy="give integers, floats or bools"
        ) from error
    description = {"format": FORMAT, "version": VERSION, "values": sha256(temporary / VALUES), **data}
    try:
        text = json.dumps(description, indent=1, default=_plain)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"about and facts must be JSON: {error}", where="about, facts", remedy="use numbers, texts, lists, mappings"
        ) from error
    (temporary / DESCRIPTION).write_text(text + "\n", "utf-8")
    for path in (temporary / VALUES, temporary / DESCRIPTION):
        path.chmod(0o666 & ~umask())
    flush(temporary)


def _into_place(temporary: Path, folder: Path) -> None:
    """The description last: it names the digest of its columns, which until then may lie aside."""
    values, previous = folder / VALUES, folder / PREVIOUS
    if values.exists() and (not previous.exists() or _names(folder, values)):
        os.replace(values, previous)  # unless a dead writer left those that the description still names there
    os.replace(temporary / VALUES, values)
    os.replace(temporary / DESCRIPTION, folder / DESCRIPTION)
    with suppress(OSError):
        previous.unlink(missing_ok=True)


def _names(folder: Path, values: Path) -> bool:
    """Whether the description there is the one of these columns."""
    try:
        return json.loads((folder / DESCRIPTION).read_text("utf-8")).get("values") == sha256(values)
    except (OSError, ValueError, AttributeError):
        return False


def _arrays(folder: Path, digest: Any) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        for path in (folder / VALUES, folder / PREVIOUS):
            if path.is_file() and sha256(path) == digest:
                return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"the columns cannot be read: {error}", where=str(folder / VALUES), remedy=DAMAGED) from error
    raise DataError(
        f"there are no columns with the digest that {DESCRIPTION} names", where=str(folder / VALUES), remedy=DAMAGED
    )


def _outcome(entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], path: Path) -> Outcome:
    columns = {name: arrays[key] for name, key in entry["columns"].items()}
    columns |= {name: np.array(texts, dtype=np.str_) for name, texts in entry["texts"].items()}
    metrics: dict[str, Metric] = {}
    if entry["metrics"]:
        try:
            known = _metrics_of(entry["probe"], str(path))
        except UsageError as error:
            raise DataError(error.what, where=str(path), remedy=error.remedy) from error
        lacking = [name for name in entry["metrics"] if name not in known]
        if lacking:
            raise DataError(
                f"the probe {entry['probe']!r} has no metric {lacking[0]!r}",
                where=str(path),
                remedy="use the nearfar that wrote it, or measure again",
            )
        metrics = {name: known[name] for name in entry["metrics"]}
    try:
        return Outcome(
            probe=entry["probe"],
            main=entry["main"],
            units=entry["units"],
            columns=columns,
            means=tuple(entry["means"]),
            metrics=metrics,
            swapped=tuple(entry["swapped"]),
            names=tuple(entry["names"]),
            higher=entry["higher"],
            facts=entry["facts"],
        )
    except NearfarError as error:
        raise DataError(error.what, where=str(path), remedy=DAMAGED) from error


def _metrics_of(probe: str, where: str) -> Mapping[str, Metric]:
    try:
        return find(probe, "probes").load("METRICS")
    except (UsageError, ImportError) as error:
        remedy = "install the package that announces it, or measure again"
        raise UsageError(f"the metrics of the probe {probe!r} cannot be found", where=where, remedy=remedy) from error


def _plain(value: Any) -> Any:
    """What json does not know and is nevertheless plain."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
