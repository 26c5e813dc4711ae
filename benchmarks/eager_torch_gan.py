"""The paper's GAN step in eager PyTorch, as the papers that we cite publish their code."""

import contextlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from benchmarks.gan_shape import GanShape


class EagerTorchGan:
    """Both networks of a phase and `step`; autocast to bfloat16 for "mixed_bfloat16"."""

    def __init__(self, shape: GanShape, precision: str):
        self.precision = precision
        self.scalars = 2 * len(shape.encoder)
        self.generator, self.discriminator = Generator(shape), Discriminator(shape)
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=1e-5, betas=(0.0, 0.99), eps=1e-8)
            for network in (self.generator, self.discriminator)
        ]

    def step(self, batch: dict[str, np.ndarray]) -> float:
        """One iteration on arrays [batch, side, side, 1]; returns the discriminator's loss."""
        images = {k: torch.from_numpy(np.moveaxis(v, -1, 1)) for k, v in batch.items()}
        loss = self._update_discriminator(images)
        for _ in range(2):  # masses
            self._update_generator(images["source"])
        return loss

    def _autocast(self):
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast("cpu", dtype=torch.bfloat16)

    def _generate(self, source):
        z = 2 * torch.rand(len(source), self.scalars) - 1
        return torch.clamp(source + self.generator(source, z), -1, 1)

    def _update_discriminator(self, images) -> float:
        optimizer, real = self.optimizers[1], images["real"]
        with torch.no_grad(), self._autocast():
            fake = self._generate(images["source"])
        spread = 0.5 * real.std(dim=(1, 2, 3), keepdim=True)
        shaken = real + torch.rand(len(real), 1, 1, 1) * spread * torch.rand_like(real)
        shaken.requires_grad_(True)
        optimizer.zero_grad()
        with self._autocast():
            stacked = torch.cat([real, fake, images["benign"], images["normal"]])
            parts = self.discriminator(stacked).float().chunk(4)
            score = self.discriminator(shaken)[:, 0].float()
        loss = sum(
            weight * _cross_entropy(logits, label)
            for label, (logits, weight) in enumerate(zip(parts, (1, 1, 0.2, 0.2), strict=True))
        )
        (gradient,) = torch.autograd.grad(score.sum(), shaken, create_graph=True)
        norm = (gradient.square().sum(dim=(1, 2, 3)) + 1e-12).sqrt()
        (loss + 10.0 * (norm - 1.0).square().mean()).backward()
        optimizer.step()
        return float(loss.detach())

    def _update_generator(self, source) -> None:
        self.optimizers[0].zero_grad()
        self.discriminator.requires_grad_(False)
        with self._autocast():
            logits = self.discriminator(self._generate(source))
        _cross_entropy(logits.float(), 0).backward()
        self.discriminator.requires_grad_(True)
        self.optimizers[0].step()


def _cross_entropy(logits, label: int):
    return functional.cross_entropy(logits, torch.full((len(logits),), label))


def _conv(inputs: int, filters: int, size: int, stride: int = 1, padding: int = 0, bias=True):
    return spectral_norm(nn.Conv2d(inputs, filters, size, stride, padding, bias=bias))


def _with_scalar(features, z, index: int):
    plane = z[:, index, None, None, None].expand(-1, 1, *features.shape[2:])
    return torch.cat([features, plane.to(features.dtype)], dim=1)


class Attention(nn.Module):
    """Self-attention of SAGAN."""

    def __init__(self, channels: int):
        super().__init__()
        self.query, self.key, self.value = (
            _conv(channels, max(1, channels // part), 1, bias=False) for part in (8, 8, 2)
        )
        self.out = _conv(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, features):
        query = self.query(features).flatten(2)
        key, value = (
            functional.max_pool2d(layer(features), 2).flatten(2) for layer in (self.key, self.value)
        )
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        mixed = (value @ weights.transpose(1, 2)).unflatten(2, features.shape[2:])
        return features + self.gamma * self.out(mixed)


class Generator(nn.Module):
    """The U-net; [batch, 1, side, side] and z to the lesion channel."""

    def __init__(self, shape: GanShape):
        super().__init__()
        self.shape = shape
        inputs = (1, *shape.encoder)
        self.encoder = nn.ModuleList(
            _conv(1, filters, 1)
            if i == 0 and shape.half
            else _conv(inputs[i] + 1, filters, 3, 2, 1)
            for i, filters in enumerate(shape.encoder)
        )
        self.bottleneck = _conv(shape.encoder[-1], shape.bottleneck, 3, 1, 1)
        self.embedding = _conv(shape.bottleneck, shape.embedding, 4)
        below = (*shape.decoder[1:], shape.embedding)
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                [_conv(below[i] + shape.encoder[i] + 1, f, 3, 1, 1), _conv(f, f, 3, 1, 1)]
            )
            for i, f in enumerate(shape.decoder)
        )
        self.attention = nn.ModuleDict()
        self.head = nn.Conv2d(shape.decoder[shape.half], 1, 1)
        sides = [(shape.side * (1 + shape.half)) >> (i + 1) for i in range(len(shape.encoder))]
        for i, side in enumerate(sides):
            if side == shape.attention:
                self.attention[f"encoder_{i}"] = Attention(shape.encoder[i])
            if 2 * side == shape.attention:
                self.attention[f"decoder_{i}"] = Attention(shape.decoder[i])

    def forward(self, image, z):
        features, skips = image, []
        for i, conv in enumerate(self.encoder):
            entry = i == 0 and self.shape.half
            features = conv(features if entry else _with_scalar(features, z, i))
            features = self._attend(f"encoder_{i}", functional.leaky_relu(features, 0.2))
            skips.append(features)
        features = functional.leaky_relu(self.bottleneck(features), 0.2)
        features = self.embedding(features).expand(-1, -1, 4, 4)
        for i in reversed(range(self.shape.half, len(self.decoder))):
            features = torch.cat([features, skips[i]], dim=1)
            features = _with_scalar(features, z, len(self.encoder) + i)
            features = functional.interpolate(features, scale_factor=2)
            for conv in self.decoder[i]:
                features = torch.relu(conv(features))
            features = self._attend(f"decoder_{i}", features)
        border = self.shape.border
        lesion = self.head(features).float()[:, :, border:-border, border:-border]
        return torch.clamp(functional.pad(lesion, [border] * 4), -1, 1)

    def _attend(self, name: str, features):
        return self.attention[name](features) if name in self.attention else features


class Discriminator(nn.Module):
    """[batch, 1, side, side] to four logits."""

    def __init__(self, shape: GanShape):
        super().__init__()
        self.shape = shape
        inputs = (1, *shape.discriminator)
        self.convs = nn.ModuleList(
            _conv(1, f, 1) if i == 0 and shape.half else _conv(inputs[i], f, 3, 1, 1)
            for i, f in enumerate(shape.discriminator)
        )
        self.place = next(
            i
            for i in range(len(shape.discriminator))
            if (shape.side * (1 + shape.half)) >> (i + 1) == shape.attention
        )
        self.attention = Attention(shape.discriminator[self.place])
        self.logits = spectral_norm(nn.Linear(16 * shape.discriminator[-1], 4))

    def forward(self, image):
        features = image
        for i, conv in enumerate(self.convs):
            features = conv(features)
            if not (i == 0 and self.shape.half):
                features = functional.max_pool2d(features, 2)
            features = functional.leaky_relu(features, 0.2)
            if i == self.place:
                features = self.attention(features)
        return self.logits(features.flatten(1))
