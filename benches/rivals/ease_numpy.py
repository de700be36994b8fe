"""EASE in NumPy and SciPy: the measure for fitting `ease`.

The Gram matrix by a sparse product, then its inverse in single precision: by LAPACK's Cholesky routines (the better one of the two), or with
`--inverse` by `numpy.linalg.inv`, as the published few lines have it. Reads offsets.u64, columns.u32 and shape.json from a folder; prints
JSON: the shortest of some fits, and the peak of memory above an interpreter with the packages imported.
"""

import argparse
import json
import os
import pathlib
import time

os.environ["OPENBLAS_NUM_THREADS"] = "2"

import numpy as np
import scipy.sparse
from scipy.linalg.lapack import spotrf, spotri


def status(key):
    """A figure of this process in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def fit(clicks, ridge, plain):
    gram = (clicks.T @ clicks).toarray()
    gram[np.diag_indices_from(gram)] += ridge
    if plain:
        inverse = np.linalg.inv(gram)
    else:
        factor, failed = spotrf(gram, lower=True, overwrite_a=True)
        assert failed == 0
        inverse, failed = spotri(factor, lower=True, overwrite_c=True)
        assert failed == 0
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--ridge", type=float, required=True)
    parser.add_argument("--inverse", action="store_true", help="numpy.linalg.inv instead of Cholesky routines")
    options = parser.parse_args()
    shape = json.loads((options.folder / "shape.json").read_text())
    offsets = np.fromfile(options.folder / "offsets.u64", dtype=np.uint64).astype(np.int64)
    columns = np.fromfile(options.folder / "columns.u32", dtype=np.uint32).astype(np.int32)
    ones = np.ones(len(columns), dtype=np.float32)
    clicks = scipy.sparse.csr_matrix((ones, columns, offsets), shape=(shape["users"], shape["items"]))
    before = status("VmRSS")
    times = []
    for _ in range(3):
        cpu, wall = time.process_time(), time.perf_counter()
        fit(clicks, options.ridge, options.inverse)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = min(times)
    print(json.dumps({
        "cpu_seconds_per_epoch": cpu, "wall_seconds_per_epoch": wall, "memory_bytes": status("VmHWM") - before,
    }))


main()
