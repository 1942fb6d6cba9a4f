"""How the golden archives are written and read: one compressed array, the bytes of an uncompressed
.npz."""

import io
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent / "golden"


def write_archive(name: str, arrays: dict[str, np.ndarray]) -> None:
    path = FOLDER / f"{name}.npz"
    archive = io.BytesIO()
    np.savez(archive, **arrays)
    np.savez_compressed(path, cases=np.frombuffer(archive.getvalue(), np.uint8))
    cases = {case.split("/")[0] for case in arrays}
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size} bytes")


def read_cases(name: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Inputs ("in") and outputs ("out") of each case of an archive."""
    with np.load(FOLDER / f"{name}.npz") as outer:
        arrays = np.load(io.BytesIO(outer["cases"].tobytes()))
    result: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for path in arrays.files:
        case, kind, *rest = path.split("/", 2)
        groups = result.setdefault(case, {"in": {}, "out": {}})
        if kind in groups:
            groups[kind][rest[0]] = arrays[path]
    return result
