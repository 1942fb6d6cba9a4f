"""How the golden archives are written: one compressed array, the bytes of an uncompressed .npz."""

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
