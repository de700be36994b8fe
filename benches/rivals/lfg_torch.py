"""The Latent Factor Generator in PyTorch, as good as it gets on a CPU: the measure for training `lfg`.

Two forms of one network:
  dense   input rows as dense matrices, fused Adam on everything, coupled weight decay
  sparse  the first layer as an embedding bag with sparse gradients and SparseAdam, as the items' factors; the rest as above

Reads offsets.u64, columns.u32, values.f32 and shape.json from a folder; prints JSON. An epoch's time is the difference of a longer and
a shorter run, so that start-up does not count; memory is the peak above an interpreter with PyTorch imported.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import torch
from torch import nn

FACTORS = 50
KEEP = 0.9


def status(key):
    """A figure of this process in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


class Head(nn.Module):
    """Everything after the first sum: LeakyReLU, batch normalisation, dropout, the other layers, tanh."""

    def __init__(self, widths):
        super().__init__()
        first, second = widths
        self.layers = nn.Sequential(
            nn.LeakyReLU(0.01), nn.BatchNorm1d(first), nn.Dropout(0.5),
            nn.Linear(first, second), nn.LeakyReLU(0.01), nn.Dropout(0.5),
            nn.Linear(second, FACTORS + 1), nn.Tanh(),
        )

    def forward(self, hidden):
        return self.layers(hidden)


def run(data, widths, batch, epochs, form):
    torch.manual_seed(1)
    offsets, columns, values, users, items = data
    mean = float(values.mean())
    head = Head(widths)
    rows = 2 * items
    if form == "dense":
        first = nn.Linear(rows, widths[0])
        item = nn.Parameter(0.1 * torch.randn(items, FACTORS))
        bias = nn.Parameter(torch.zeros(items))
        dense = [{"params": list(first.parameters()) + list(head.parameters()), "weight_decay": 3e-4},
                 {"params": [item], "weight_decay": 1e-4},
                 {"params": [bias], "weight_decay": 0.0, "lr": 2.5e-3}]
        optimisers = [torch.optim.Adam(dense, lr=5e-4, fused=True)]
    else:
        first = nn.EmbeddingBag(rows, widths[0], mode="sum", sparse=True)
        nn.init.uniform_(first.weight, -0.02, 0.02)
        first_bias = nn.Parameter(torch.zeros(widths[0]))
        item = nn.Embedding(items, FACTORS, sparse=True)
        bias = nn.Embedding(items, 1, sparse=True)
        nn.init.normal_(item.weight, std=0.1)
        nn.init.zeros_(bias.weight)
        optimisers = [torch.optim.Adam(list(head.parameters()) + [first_bias], lr=5e-4, weight_decay=3e-4, fused=True),
                      torch.optim.SparseAdam(list(first.parameters()) + list(item.parameters()), lr=5e-4),
                      torch.optim.SparseAdam(list(bias.parameters()), lr=2.5e-3)]
    head.train()
    for _ in range(epochs):
        order = np.random.default_rng(1).permutation(users)
        for start in range(0, users - 1, batch):
            chosen = order[start:start + batch]
            if len(chosen) < 2:
                continue
            lengths = offsets[chosen + 1] - offsets[chosen]
            where = np.concatenate([np.arange(offsets[u], offsets[u + 1]) for u in chosen])
            column = torch.from_numpy(columns[where].astype(np.int64))
            rating = torch.from_numpy(values[where])
            row = torch.from_numpy(np.repeat(np.arange(len(chosen)), lengths))
            seen = (torch.rand(len(where)) < KEEP).float()
            visible = torch.zeros(len(chosen)).index_add_(0, row, seen).clamp_(min=1)
            scale = (100.0 / visible).sqrt()[row] * seen
            centred = (rating - mean) * scale
            if form == "dense":
                inputs = torch.zeros(len(chosen), rows)
                inputs[row, column] = centred
                inputs[row, items + column] = scale
                out = head(first(inputs))
                predicted = (out[:, :FACTORS] @ item.T + out[:, FACTORS:] + bias)[row, column] + mean
            else:
                index = torch.stack([column, column + items], 1).reshape(-1)
                weight = torch.stack([centred, scale], 1).reshape(-1)
                starts = torch.from_numpy(2 * (np.cumsum(lengths) - lengths))
                out = head(first(index, starts, per_sample_weights=weight) + first_bias)
                predicted = (out[:, :FACTORS][row] * item(column)).sum(1) + out[row, FACTORS] + bias(column)[:, 0] + mean
            loss = ((predicted - rating) ** 2).mean()
            for optimiser in optimisers:
                optimiser.zero_grad(set_to_none=True)
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
    return float(loss.detach())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--form", choices=["dense", "sparse"], required=True)
    parser.add_argument("--widths", type=int, nargs=2, default=[1024, 512])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, nargs=2, default=[1, 3])
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
        loss = run(data, args.widths, args.batch, epochs, args.form)
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
