"""One training step of the conditional LSGAN at 64 x 64 in PyTorch, as good as it gets on a CPU: the measure for `lsgan` as published.

Both updates of a step (discriminator on a real and a generated batch, then the generator), the authors' layers and widths, Adam, in forms:
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

CLASSES, NOISE = 6, 256


def leaky():
    return nn.LeakyReLU(0.2, inplace=True)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(NOISE + CLASSES, 4 * 4 * 256))
        layers = [nn.BatchNorm2d(256), leaky()]
        channels = 256
        for outputs, stride in [(256, 2), (256, 1), (256, 2), (256, 1), (128, 2), (64, 2)]:
            layers += [
                nn.ConvTranspose2d(channels, outputs, 3, stride, 1, stride - 1),
                nn.BatchNorm2d(outputs),
                leaky(),
            ]
            channels = outputs
        layers += [nn.ConvTranspose2d(channels, 3, 3, 1, 1), nn.Tanh()]
        self.rest = nn.Sequential(*layers)

    def forward(self, z, c):
        return self.rest(self.first(torch.cat([z, c], 1)).view(-1, 256, 4, 4))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList()
        self.after = nn.ModuleList()
        channels = 3
        for at, outputs in enumerate([64, 128, 256, 512]):
            self.convolutions.append(nn.Conv2d(channels + CLASSES, outputs, 5, 2, 2))
            self.after.append(nn.Sequential(*([nn.BatchNorm2d(outputs)] if at else []), leaky()))
            channels = outputs
        self.last = nn.Linear(512 * 4 * 4, 1)

    def forward(self, x, c):
        for convolution, after in zip(self.convolutions, self.after):
            maps = c[:, :, None, None].expand(-1, -1, x.shape[2], x.shape[3])
            x = after(convolution(torch.cat([x, maps], 1)))
        return self.last(x.flatten(1))


def seconds(form, batch, steps):
    torch.manual_seed(1)
    g, d = Generator(), Discriminator()
    x = torch.rand(batch, 3, 64, 64) * 2 - 1
    if form != "plain":
        g, d = g.to(memory_format=torch.channels_last), d.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    c = nn.functional.one_hot(torch.arange(batch) % CLASSES, CLASSES).float()
    adam = [torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.5, 0.99), fused=form == "fused") for net in (d, g)]
    times = []
    for _ in range(steps):
        wall, used = time.perf_counter(), time.process_time()
        z = torch.randn(batch, NOISE)
        fake = g(z, c)
        loss = 0.5 * ((d(x, c) - 1).square().mean() + d(fake.detach(), c).square().mean())
        adam[0].zero_grad(set_to_none=True)
        loss.backward()
        adam[0].step()
        loss = (d(fake, c) - 1).square().mean()
        adam[1].zero_grad(set_to_none=True)
        loss.backward()
        adam[1].step()
        times.append((time.process_time() - used, time.perf_counter() - wall))
    return [sorted(column)[len(column) // 2] for column in zip(*times[1:])]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    forms = ["plain", "channels-last", "fused"]
    print(json.dumps({form: seconds(form, args.batch, args.steps) for form in forms}))


if __name__ == "__main__":
    main()
