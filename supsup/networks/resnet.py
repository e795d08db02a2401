"""Residual networks without biases: ResNet-18 for small images, ResNet-50 for large ones."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from maskstore.layout import MAX_BITS
from supsup.networks.batch_norm import channels_last, normalised
from supsup.networks.bn import check_batch

Maps = Float[Tensor, "batch channel height width"]
NewMaps = Float[Tensor, "batch wider high wide"]

STEMS = ("small", "large")


class ResNet(nn.Module):
    """Stages of residual blocks between a stem and a linear head (He et al., 2015).

    Masks cover every convolution and the head. Batch normalisation is the paper's non-affine one
    and has no parameters; ``affine`` gives it scales and shifts (the paper's ``StandardBN``), which
    start at 1 and 0 and are each task's own with ``per_task=("*bn*",)``.

    Nor are there buffers with ``statistics="batch"``: they are those of the batch, in training and
    in evaluation, so that a mask is all that a task needs. In return an answer depends on the
    images beside it, one image alone has none, and batches should be mixed and not small (128
    here).
    ``running`` ones, the default, are tensors of each task.
    """

    def __init__(
        self,
        *,
        outputs: int,
        block: "type[BasicBlock] | type[Bottleneck]",
        blocks: Sequence[int],
        width: int,
        stem: str,
        affine: bool = False,
    ) -> None:
        """Make the layers; weights are drawn later.

        Args:
            outputs: width of the head.
            block: the kind of block.
            blocks: how many in each stage; every stage but the first halves the image and doubles
                the channels.
            width: channels of the first stage.
            stem: ``small``: a 3×3 convolution that keeps the size; ``large``: a 7×7 convolution and
                a maximum, each halving the size.
            affine: whether normalisation has a scale and a shift of each channel.

        Raises:
            InvalidInput: an option cannot be used, or there are more weights than a mask has bits.
        """
        super().__init__()
        _check(outputs, block, blocks, width, stem)
        if not isinstance(affine, bool):
            raise InvalidInput(f"net option 'affine': expected true or false, got {affine!r}")
        small = stem == "small"
        self.pool = not small
        self.conv1 = _conv(3, width, 3 if small else 7, 1 if small else 2)
        self.bn1 = _norm(width, affine)
        inputs = width
        for stage, count in enumerate(blocks):
            layers: list[nn.Module] = []
            for at in range(count):
                stride = 2 if stage and not at else 1
                layers.append(block(inputs, width << stage, stride, affine))
                inputs = (width << stage) * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.stages = len(blocks)
        self.fc = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch outputs"]:
        """Logits of a batch of colour images, (batch, 3, height, width).

        Raises:
            InvalidInput: other data, or one image alone, where it has no statistics.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise InvalidInput(
                "a residual net takes colour images, (batch, 3, height, width), "
                f"got {tuple(x.shape)}; use a data set in colour, or another net"
            )
        check_batch(x.shape[0], self.bn1)
        x = normalised(self.bn1, self.conv1(channels_last(x)))
        if self.pool:
            x = F.max_pool2d(x, 3, 2, padding=1)
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, affine: bool) -> None:
        """Make the layers; the first takes the stride."""
        super().__init__()
        self.conv1 = _conv(inputs, width, 3, stride)
        self.bn1 = _norm(width, affine)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = _norm(width, affine)
        self.downsample = _shortcut(inputs, width, stride)
        self.downsample_bn = None if self.downsample is None else _norm(width, affine)

    def forward(self, x: Maps) -> NewMaps:
        """The block's output."""
        y = normalised(self.bn1, self.conv1(x))
        around = _around(x, self.downsample, self.downsample_bn)
        return normalised(self.bn2, self.conv2(y), add=around)


class Bottleneck(nn.Module):
    """A 3×3 convolution between two 1×1 ones, the last four times as wide, beside a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, affine: bool) -> None:
        """Make the layers; the 3×3 convolution takes the stride."""
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = _conv(inputs, width, 1)
        self.bn1 = _norm(width, affine)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = _norm(width, affine)
        self.conv3 = _conv(width, outputs, 1)
        self.bn3 = _norm(outputs, affine)
        self.downsample = _shortcut(inputs, outputs, stride)
        self.downsample_bn = None if self.downsample is None else _norm(outputs, affine)

    def forward(self, x: Maps) -> NewMaps:
        """The block's output."""
        y = normalised(self.bn1, self.conv1(x))
        y = normalised(self.bn2, self.conv2(y))
        around = _around(x, self.downsample, self.downsample_bn)
        return normalised(self.bn3, self.conv3(y), add=around)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def _norm(width: int, affine: bool) -> nn.BatchNorm2d:
    """The paper's batch normalisation: its non-affine one, or PyTorch's own."""
    return nn.BatchNorm2d(width, affine=affine)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Conv2d | None:
    """A 1×1 convolution where the block changes size or channels, else nothing."""
    return None if stride == 1 and inputs == outputs else _conv(inputs, outputs, 1, stride)


def _around(x: Maps, downsample: nn.Conv2d | None, norm: nn.BatchNorm2d | None) -> NewMaps:
    if downsample is None or norm is None:
        return x
    return normalised(norm, downsample(x), relu=False)


def _check(outputs: int, block: object, blocks: Sequence[int], width: int, stem: str) -> None:
    """Said before anything is allocated: a recipe may come from anybody's file."""
    if block not in (BasicBlock, Bottleneck):
        raise InvalidInput(f"net option 'block': fixed by the net's name, got {block!r}")
    if stem not in STEMS:
        raise InvalidInput(f"net option 'stem': expected {' or '.join(STEMS)}, got {stem!r}")
    if not isinstance(blocks, list | tuple) or not 1 <= len(blocks) <= 8:
        raise InvalidInput(f"net option 'blocks': expected 1 to 8 numbers, got {blocks!r}")
    for count in blocks:
        if type(count) is not int or not 1 <= count <= 1000:
            raise InvalidInput(f"net option 'blocks': expected numbers from 1 to 1000: {blocks!r}")
    if type(width) is not int or width < 1:
        raise InvalidInput(f"net option 'width': expected a whole number from 1, got {width!r}")
    # The least a stage can have, of either kind of block, and the head.
    least = sum(9 * count * (width << stage) ** 2 for stage, count in enumerate(blocks))
    if least + outputs * (width << (len(blocks) - 1)) > MAX_BITS:
        raise InvalidInput(
            f"width {width} and blocks {list(blocks)}: more weights than the {MAX_BITS} "
            "that are supported"
        )
