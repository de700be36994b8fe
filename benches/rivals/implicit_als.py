"""Alternating least squares of the package implicit on a CPU: the measure for training `implicit-als`.

Reads offsets.u64, columns.u32 and shape.json from a folder; prints JSON. An iteration's time is the difference of a longer and a shorter
fit, so that start-up does not count; memory is the peak above an interpreter with the package imported. BLAS runs on one
thread, as the package asks for, beside its own two.
"""

import argparse
import json
import os
import pathlib
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import scipy.sparse
from implicit.als import AlternatingLeastSquares


def status(key):
    """A figure of this process in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def run(clicks, factors, exact, iterations):
    model = AlternatingLeastSquares(
        factors=factors, regularization=0.01, alpha=1.0, iterations=iterations, use_cg=not exact, num_threads=2,
        random_state=1,
    )
    start = time.process_time()
    model.fit(clicks, show_progress=False)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--factors", type=int, required=True)
    parser.add_argument("--exact", action="store_true", help="Cholesky factors instead of conjugate gradients")
    parser.add_argument("--epochs", type=int, nargs=2, required=True, help="a shorter and a longer fit")
    options = parser.parse_args()
    shape = json.loads((options.folder / "shape.json").read_text())
    offsets = np.fromfile(options.folder / "offsets.u64", dtype=np.uint64).astype(np.int64)
    columns = np.fromfile(options.folder / "columns.u32", dtype=np.uint32).astype(np.int32)
    ones = np.ones(len(columns), dtype=np.float32)
    clicks = scipy.sparse.csr_matrix((ones, columns, offsets), shape=(shape["users"], shape["items"]))
    before = status("VmRSS")
    shorter, longer = options.epochs
    times = [run(clicks, options.factors, options.exact, epochs) for epochs in (shorter, longer)]
    print(json.dumps({
        "cpu_seconds_per_epoch": (times[1] - times[0]) / (longer - shorter),
        "memory_bytes": status("VmHWM") - before,
    }))


main()
