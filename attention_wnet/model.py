"""The network: two chained U-Nets that add their skips, with attention gates and regularised blocks as flags."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

LEVELS = 4
MULTIPLE = 2**LEVELS  # what sides are padded to: each level halves them


class SharedBlock(nn.Module):
    """Residual block whose one 3x3 convolution is used twice: ``relu(W * drop(relu([BN](W * x))) + x)``.

    Source of the shared weights and the dropout: LadderNet (Zhuang, arXiv 1810.07810). The batch norm after the first
    use is the change that the author's public fork of LadderNet makes.

    Args:
        channels: in and out.
        regularised: whether the batch norm is there.
        dropout: probability that a whole channel is dropped between the two uses.
    """

    def __init__(self, channels: int, regularised: bool, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels) if regularised else nn.Identity()
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Shape in, shape out."""
        inner = functional.relu(self.norm(self.convolution(x)), inplace=True)
        return functional.relu(self.convolution(self.dropout(inner)) + x, inplace=True)


class AttentionGate(nn.Module):
    """Weighs a skip by what the decoder has seen there: ``skip * sigmoid(BN(psi(relu(BN(Wg g) + BN(Wx skip)))))``.

    Source: the additive gate of Attention U-Net (Oktay et al., arXiv 1804.03999), after the up-sampling, so that both
    have one resolution and one number of channels.

    Args:
        channels: of the decoder's feature and of the skip.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_decoder = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))
        self.of_skip = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))
        self.weight = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, decoder: Tensor, skip: Tensor) -> Tensor:
        """The skip, weighed by one map for all of its channels."""
        return skip * self.weight(functional.relu(self.of_decoder(decoder) + self.of_skip(skip), inplace=True))


class UNet(nn.Module):
    """One of the two: shared blocks on five resolutions, doubled channels a level, skips added."""

    def __init__(self, filters: int, attention: bool, regularised: bool, dropout: float) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(LEVELS)]

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(SharedBlock(width, regularised, dropout) for width in widths)

        self.encoder, self.decoder = blocks(), blocks()
        self.bottom = SharedBlock(filters * MULTIPLE, regularised, dropout)
        self.down = nn.ModuleList(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1) for width in widths)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1) for width in widths
        )
        self.gates = nn.ModuleList(AttentionGate(width) for width in widths) if attention else None

    def forward(self, x: Tensor, lateral: list[Tensor] | None = None) -> list[Tensor]:
        """The decoder's output at each level, the finest first.

        Args:
            x: ``(images, filters, height, width)``.
            lateral: what the other U-Net's decoder gave at each level, added before the encoder's block.
        """
        skips = []
        for level in range(LEVELS):
            skips.append(self.encoder[level](x if lateral is None else x + lateral[level]))
            x = functional.relu(self.down[level](skips[-1]), inplace=True)
        x = self.bottom(x)
        decoded = []
        for level in reversed(range(LEVELS)):
            x, skip = self.up[level](x), skips[level]
            x = self.decoder[level](x + (skip if self.gates is None else self.gates[level](x, skip)))
            decoded.append(x)
        return decoded[::-1]


class AttentionWNet(nn.Module):
    """Vessel segmenter of grey pictures; with both flags off it is LadderNet.

    Source: Mohan, Bhattacharya, Ghosh, "Attention W-Net for improved skip connections for better representations"
    (ICPR 2022, arXiv 2110.08811), as the first author's public fork of LadderNet shows the two changes.

    Args:
        filters: channels at full resolution; doubled four times.
        attention: a gate on every skip of both U-Nets.
        regularised: batch norm in every shared block.
        dropout: share of channels dropped in every shared block.

    Example:
        >>> import torch
        >>> model = AttentionWNet().eval()
        >>> sum(weight.numel() for weight in model.parameters())
        1419636
        >>> model(torch.zeros(1, 1, 50, 70)).shape
        torch.Size([1, 2, 50, 70])
    """

    def __init__(
        self, filters: int = 10, attention: bool = True, regularised: bool = True, dropout: float = 0.25
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, filters, 3, padding=1)
        self.one = UNet(filters, attention, regularised, dropout)
        self.between = SharedBlock(filters, regularised, dropout)
        self.two = UNet(filters, attention, regularised, dropout)
        self.last = nn.Conv2d(filters, 2, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits ``(images, 2, height, width)`` of background and vessel.

        Args:
            pictures: float ``(images, 1, height, width)`` in [0, 1], of any size; padded to a multiple of 16 inside by
                repeating the last row and column.
        """
        height, width = pictures.shape[-2:]
        padded = functional.pad(pictures, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        decoded = self.one(functional.relu(self.first(padded), inplace=True))
        decoded = self.two(self.between(decoded[0]), decoded)
        return self.last(decoded[0])[..., :height, :width]
