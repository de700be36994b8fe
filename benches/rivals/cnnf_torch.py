"""One training step of CNN-F at 224 pixels in PyTorch, as good as it gets on a CPU: the measure for `dvbpr` as published.

Forward, backward and Adam over a batch of pictures, dropout .5 twice, the loss a sum over softplus of differences, in forms:
  plain          [batch, channels, height, width]
  channels-last  the same in torch's channels-last layout
  fused          channels-last, and Adam in one pass
Prints JSON: CPU seconds and seconds by the wall of a step (median), for each form.
"""

import argparse
import json
import time

import torch
from torch import nn


class Same(nn.Conv2d):
    """TensorFlow's padding, which is uneven for the first layer."""

    def forward(self, x):
        size, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
        before = total // 2
        if total % 2:
            x = nn.functional.pad(x, (before, total - before, before, total - before))
            return nn.functional.conv2d(x, self.weight, self.bias, stride)
        return nn.functional.conv2d(x, self.weight, self.bias, stride, before)


def network(factors):
    def conv(inputs, outputs, size, stride, pooled):
        layers = [Same(inputs, outputs, size, stride), nn.ReLU(inplace=True)]
        return layers + ([nn.MaxPool2d(2)] if pooled else [])

    return nn.Sequential(
        *conv(3, 64, 11, 4, True),
        *conv(64, 256, 5, 1, True),
        *conv(256, 256, 3, 1, False),
        *conv(256, 256, 3, 1, False),
        *conv(256, 256, 3, 1, True),
        nn.Flatten(),
        nn.Linear(12544, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Linear(4096, factors),
    )


def seconds(form, batch, steps, factors):
    torch.manual_seed(1)
    net = network(factors)
    x = torch.rand(batch, 3, 224, 224) * 2 - 1
    if form != "plain":
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    theta = torch.rand(batch // 2, factors) / 100
    adam = torch.optim.Adam(net.parameters(), lr=1e-4, weight_decay=1e-3, fused=form == "fused")
    times = []
    for _ in range(steps):
        wall, used = time.perf_counter(), time.process_time()
        phi = net(x)
        score = (theta * (phi[: batch // 2] - phi[batch // 2 :])).sum(1)
        loss = nn.functional.softplus(-score).sum()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        times.append((time.process_time() - used, time.perf_counter() - wall))
    return [sorted(column)[len(column) // 2] for column in zip(*times[1:])]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--factors", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    forms = ["plain", "channels-last", "fused"]
    print(json.dumps({form: seconds(form, args.batch, args.steps, args.factors) for form in forms}))


if __name__ == "__main__":
    main()
