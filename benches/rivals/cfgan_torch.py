"""CFGAN (item-based, ZP) in PyTorch, as good as it gets on a CPU: the measure for training `i-cfgan`.

One hidden sigmoid layer in each network, a linear output, purchase vectors as dense matrices, masks as boolean matrices that are
drawn once an epoch, the discriminator without gradients while the generator learns, fused Adam, subnormal numbers flushed.

Reads offsets.u64, columns.u32 and shape.json from a folder (interactions by user); prints JSON. An epoch's time is the difference
of a longer and a shorter run, so that start-up does not count; memory is the peak above an interpreter with PyTorch imported.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy


def status(key):
    """A figure of this process in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def network(widths):
    layers = []
    for before, after in zip(widths, widths[1:]):
        layer = torch.nn.Linear(before, after)
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.uniform_(layer.bias, -0.01, 0.01)
        layers += [layer, torch.nn.Sigmoid()]
    return torch.nn.Sequential(*layers[:-1])


def run(data, args, epochs):
    torch.manual_seed(1)
    offsets, columns, users, items = data
    rows = torch.zeros(items, users)
    rows[torch.from_numpy(columns.astype(np.int64)), torch.from_numpy(np.repeat(np.arange(users), np.diff(offsets)))] = 1.0
    generator = network([users, args.hidden, users])
    judge = network([2 * users, args.judge, 1])
    # Coupled decay is the gradient of the L2 term.
    of_generator = torch.optim.Adam(generator.parameters(), lr=1e-4, weight_decay=1e-3, fused=True)
    of_judge = torch.optim.Adam(judge.parameters(), lr=5e-5, weight_decay=5e-5, fused=True)
    free = rows == 0
    loss = torch.zeros(())
    for _ in range(epochs):
        zeroed = (torch.rand(items, users) < args.share).logical_and_(free)
        seen = (torch.rand(items, users) < args.share).logical_or_(~free)
        for numbers in torch.randperm(items).split(args.batch[1]):
            real = rows[numbers]
            with torch.no_grad():
                fake = generator(real).mul_(seen[numbers])
            one, zero = judge(torch.cat([real, real], 1)), judge(torch.cat([real, fake], 1))
            loss = cross_entropy(one, torch.ones_like(one)) + cross_entropy(zero, torch.zeros_like(zero))
            of_judge.zero_grad(set_to_none=True)
            loss.backward()
            of_judge.step()
        judge.requires_grad_(False)
        for numbers in torch.randperm(items).split(args.batch[0]):
            real = rows[numbers]
            out = generator(real)
            verdict = judge(torch.cat([real, out * seen[numbers]], 1))
            loss = cross_entropy(verdict, torch.ones_like(verdict))
            loss = loss + 0.03 * (out * zeroed[numbers]).square().sum(1).mean()
            of_generator.zero_grad(set_to_none=True)
            loss.backward()
            of_generator.step()
        judge.requires_grad_(True)
    return float(loss.detach())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--hidden", type=int, default=300)
    parser.add_argument("--judge", type=int, default=250)
    parser.add_argument("--batch", type=int, nargs=2, default=[256, 512], help="of the generator, of the discriminator")
    parser.add_argument("--share", type=float, default=0.9)
    parser.add_argument("--epochs", type=int, nargs=2, default=[1, 3])
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    shape = json.loads((args.folder / "shape.json").read_text())
    data = (np.fromfile(args.folder / "offsets.u64", "<u8").astype(np.int64),
            np.fromfile(args.folder / "columns.u32", "<u4"), shape["users"], shape["items"])
    before = status("VmRSS")
    seconds, walls = [], []
    for epochs in args.epochs:
        start, wall = time.process_time(), time.perf_counter()
        loss = run(data, args, epochs)
        seconds.append(time.process_time() - start)
        walls.append(time.perf_counter() - wall)

    def an_epoch(took):
        return (took[1] - took[0]) / (args.epochs[1] - args.epochs[0])

    # Not getrusage's figure, which a new process inherits from the one that started it.
    peak = status("VmHWM")
    print(json.dumps({
        "torch": torch.__version__, "loss": loss,
        "cpu_seconds_per_epoch": an_epoch(seconds),
        "wall_seconds_per_epoch": an_epoch(walls),
        "memory_bytes": peak - before,
    }))


if __name__ == "__main__":
    main()
