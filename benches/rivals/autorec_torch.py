"""I-AutoRec in PyTorch, as good as it gets on a CPU: the measure for training `i-autorec`.

Full batches and RProp, `f(W g(V r + mu) + b)` with a sigmoid g and the identity f, in two forms:
  dense   ratings as a dense matrix, every output computed and those without a rating masked
  sparse  ratings as a sparse matrix that is multiplied with V; outputs as above

Reads offsets.u64, columns.u32, values.f32 and shape.json from a folder (ratings by user); prints JSON. An epoch's time is the
difference of a longer and a shorter run, so that start-up does not count; memory is the peak above an interpreter with PyTorch
imported.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import torch

DECAY = 200.0


def status(key):
    """A figure of this process in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def run(data, hidden, epochs, form):
    torch.manual_seed(1)
    offsets, columns, values, users, items = data
    user = torch.from_numpy(np.repeat(np.arange(users), np.diff(offsets)))
    item = torch.from_numpy(columns.astype(np.int64))
    rating = torch.from_numpy(values)
    ratings = torch.zeros(items, users)
    ratings[item, user] = rating
    mask = torch.zeros(items, users)
    mask[item, user] = 1.0
    if form == "sparse":
        inputs = torch.sparse_coo_tensor(torch.stack([item, user]), rating, (items, users)).coalesce()
    v = torch.nn.Parameter(0.01 * torch.randn(users, hidden))
    w = torch.nn.Parameter(0.01 * torch.randn(hidden, users))
    mu = torch.nn.Parameter(torch.zeros(hidden))
    b = torch.nn.Parameter(torch.full((users,), float(rating.mean())))
    optimiser = torch.optim.Rprop([v, w, mu, b], lr=1e-4, etas=(0.5, 1.2), step_sizes=(1e-6, 0.1))
    for _ in range(epochs):
        summed = torch.sparse.mm(inputs, v) if form == "sparse" else ratings @ v
        out = torch.addmm(b, torch.sigmoid(summed + mu), w)
        loss = 0.5 * ((out - ratings).mul_(mask)).square().sum() + 0.5 * DECAY * (w.square().sum() + v.square().sum())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--form", choices=["dense", "sparse"], required=True)
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--epochs", type=int, nargs=2, default=[1, 4])
    args = parser.parse_args()
    torch.set_num_threads(2)
    shape = json.loads((args.folder / "shape.json").read_text())
    data = (np.fromfile(args.folder / "offsets.u64", "<u8").astype(np.int64),
            np.fromfile(args.folder / "columns.u32", "<u4"),
            np.fromfile(args.folder / "values.f32", "<f4"), shape["users"], shape["items"])
    before = status("VmRSS")
    seconds = []
    for epochs in args.epochs:
        start = time.process_time()
        loss = run(data, args.hidden, epochs, args.form)
        seconds.append(time.process_time() - start)
    # Not getrusage's figure, which a new process inherits from the one that started it.
    peak = status("VmHWM")
    print(json.dumps({
        "form": args.form, "torch": torch.__version__, "loss": loss,
        "cpu_seconds_per_epoch": (seconds[1] - seconds[0]) / (args.epochs[1] - args.epochs[0]),
        "memory_bytes": peak - before,
    }))


if __name__ == "__main__":
    main()
