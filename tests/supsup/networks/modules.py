"""Modules as users write them, each a function of ``outputs``: the rows of docs/any-module.md.

Named by a recipe as ``tests.supsup.networks.modules:NAME``. ``TABLE`` says what data each
takes, and where it is refused, at which moment and with what line.
"""

import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint

ROWS, MAPS, SIGNAL, SERIES, TOKENS = (20,), (2, 4, 4), (2, 8), (5, 6), (6,)
"""Shapes of one input: numbers, an image, a signal, a series of vectors, words of a vocabulary."""

WORDS = 11


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is expected of a module.

    Attributes:
        shape: of one input.
        refused: what the one line says; None where everything is right.
        at: where it is said: at construction, or by the look at the first inputs.
        in_turn: whether tasks that share a step take turns in it.
        draws: whether its training forward draws.
    """

    about: str
    shape: tuple[int, ...] = ROWS
    refused: str | None = None
    at: str = "construction"
    in_turn: bool = False
    draws: bool = False


TABLE: dict[str, Row] = {}


def row(about, shape=ROWS, refused=None, **fields):
    def keep(make):
        TABLE[make.__name__] = Row(about=about, shape=shape, refused=refused, **fields)
        return make

    return keep


class Net(nn.Module):
    """Named layers, and a forward given as a function of them and the data."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = forward

    def forward(self, x: Tensor):
        return self.run(self, x)


def head(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


@row("`nn.Linear`")
def linear(outputs):
    return nn.Linear(20, outputs, bias=False)


@row("linear layers with biases, ReLU between them")
def linear_chain(outputs):
    return nn.Sequential(nn.Linear(20, 9), nn.ReLU(), nn.Linear(9, outputs))


@row("another nonlinearity")
def gelu(outputs):
    return nn.Sequential(nn.Linear(20, 9), nn.GELU(), nn.Linear(9, outputs))


@row("`nn.Conv1d`", SIGNAL)
def conv1d(outputs):
    return nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), head(18, outputs))


@row("`nn.Conv2d`, maximum", MAPS)
def conv2d(outputs):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), head(16, outputs)
    )


@row("`nn.ConvTranspose2d`", MAPS)
def conv_transpose(outputs):
    return nn.Sequential(nn.ConvTranspose2d(2, 3, 2, stride=2), nn.ReLU(), head(192, outputs))


@row("grouped convolution", MAPS)
def grouped_conv(outputs):
    return nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), head(16, outputs))


@row("depthwise, then pointwise convolution", MAPS)
def depthwise_conv(outputs):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2, padding=1), nn.Conv2d(4, 3, 1), nn.ReLU(), head(48, outputs)
    )


@row("a residual block", MAPS)
def residual(outputs):
    return Net(
        lambda m, x: m.head(torch.relu(x + m.conv(x))),
        conv=nn.Conv2d(2, 2, 3, padding=1),
        head=head(32, outputs),
    )


@row("`nn.Embedding` with `padding_idx` (its row stays 0)", TOKENS, in_turn=True)
def embedding(outputs):
    return nn.Sequential(nn.Embedding(WORDS, 4, padding_idx=0), head(24, outputs))


@row("`nn.EmbeddingBag`", TOKENS, in_turn=True)
def embedding_bag(outputs):
    return nn.Sequential(nn.EmbeddingBag(WORDS, 6, padding_idx=0), nn.Linear(6, outputs))


@row("`nn.LSTM`", SERIES, in_turn=True)
def lstm(outputs):
    return Net(
        lambda m, x: m.fc(m.rnn(x)[0][:, -1]),
        rnn=nn.LSTM(6, 5, batch_first=True),
        fc=nn.Linear(5, outputs),
    )


@row("`nn.GRU`, two layers, both directions", SERIES, in_turn=True)
def gru(outputs):
    return Net(
        lambda m, x: m.fc(m.rnn(x)[0][:, -1]),
        rnn=nn.GRU(6, 4, num_layers=2, bidirectional=True, batch_first=True),
        fc=nn.Linear(8, outputs),
    )


@row("`nn.LSTM` with dropout between its layers", SERIES, in_turn=True, draws=True)
def lstm_dropout(outputs):
    return Net(
        lambda m, x: m.fc(m.rnn(x)[0][:, -1]),
        rnn=nn.LSTM(6, 5, num_layers=2, dropout=0.4, batch_first=True),
        fc=nn.Linear(5, outputs),
    )


@row("`nn.LSTMCell` in a loop", SERIES, in_turn=True)
def lstm_cell(outputs):
    def forward(m, x):
        state = None
        for at in range(x.shape[1]):
            state = m.cell(x[:, at], state)
        return m.fc(state[0])

    return Net(forward, cell=nn.LSTMCell(6, 5), fc=nn.Linear(5, outputs))


@row("`nn.MultiheadAttention`", SERIES, in_turn=True)
def attention(outputs):
    return Net(
        lambda m, x: m.fc(m.attend(x, x, x, need_weights=False)[0].mean(1)),
        attend=nn.MultiheadAttention(6, 2, batch_first=True),
        fc=nn.Linear(6, outputs),
    )


@row("`nn.TransformerEncoderLayer`", SERIES, in_turn=True)
def encoder_layer(outputs):
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
    return Net(lambda m, x: m.fc(m.layer(x).mean(1)), layer=layer, fc=nn.Linear(6, outputs))


@row("`nn.TransformerEncoder` with its usual dropout", SERIES, in_turn=True, draws=True)
def encoder(outputs):
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    stack = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return Net(lambda m, x: m.fc(m.stack(x).mean(1)), stack=stack, fc=nn.Linear(6, outputs))


@row("`nn.TransformerDecoderLayer`", SERIES, in_turn=True)
def decoder_layer(outputs):
    layer = nn.TransformerDecoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
    return Net(lambda m, x: m.fc(m.layer(x, x).mean(1)), layer=layer, fc=nn.Linear(6, outputs))


@row("`nn.LayerNorm`")
def layer_norm(outputs):
    return nn.Sequential(nn.Linear(20, 9), nn.LayerNorm(9), nn.ReLU(), nn.Linear(9, outputs))


@row("`nn.LayerNorm` without scales")
def layer_norm_bare(outputs):
    norm = nn.LayerNorm(9, elementwise_affine=False)
    return nn.Sequential(nn.Linear(20, 9), norm, nn.ReLU(), nn.Linear(9, outputs))


@row("`nn.GroupNorm`", MAPS)
def group_norm(outputs):
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), head(16, outputs))


@row("`nn.BatchNorm2d` (statistics of the batch, see above)", MAPS)
def batch_norm(outputs):
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), head(16, outputs))


@row("`nn.BatchNorm1d` without scales")
def batch_norm_bare(outputs):
    norm = nn.BatchNorm1d(9, affine=False)
    return nn.Sequential(nn.Linear(20, 9), norm, nn.ReLU(), nn.Linear(9, outputs))


@row("`nn.BatchNorm1d` without running statistics")
def batch_norm_no_statistics(outputs):
    norm = nn.BatchNorm1d(9, track_running_stats=False)
    return nn.Sequential(nn.Linear(20, 9), norm, nn.ReLU(), nn.Linear(9, outputs))


@row("`nn.InstanceNorm2d`", MAPS)
def instance_norm(outputs):
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), head(16, outputs))


@row("`nn.InstanceNorm2d` with scales and running statistics (see above)", MAPS)
def instance_norm_statistics(outputs):
    norm = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    return nn.Sequential(nn.Conv2d(2, 4, 3), norm, nn.ReLU(), head(16, outputs))


@row("`nn.Dropout`", in_turn=True, draws=True)
def dropout(outputs):
    return nn.Sequential(nn.Linear(20, 9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, outputs))


@row("`nn.RReLU`, random in training only", in_turn=True, draws=True)
def random_slopes(outputs):
    return nn.Sequential(nn.Linear(20, 9), nn.RReLU(), nn.Linear(9, outputs))


@row("a forward that draws from NumPy in training", in_turn=True, draws=True)
def numpy_noise(outputs):
    def forward(m, x):
        noise = float(np.random.uniform(0.5, 1.5)) if m.training else 1.0
        return m.fc(x * noise)

    return Net(forward, fc=nn.Linear(20, outputs))


@row("tied weights", TOKENS)
def tied(outputs):
    net = Net(
        lambda m, x: m.out(m.mix(m.words(x).mean(1))),
        words=nn.Embedding(WORDS, WORDS),
        mix=nn.Linear(WORDS, WORDS, bias=False),
        out=nn.Linear(WORDS, outputs),
    )
    net.mix.weight = net.words.weight
    return net


@row("one layer used three times")
def used_three_times(outputs):
    def forward(m, x):
        for _ in range(3):
            x = torch.relu(m.layer(x))
        return m.fc(x)

    return Net(forward, layer=nn.Linear(20, 20), fc=nn.Linear(20, outputs))


@row("one layer under two names")
def two_names(outputs):
    layer = nn.Linear(20, 20)
    return Net(
        lambda m, x: m.fc(torch.relu(m.second(torch.relu(m.first(x))))),
        first=layer,
        second=layer,
        fc=nn.Linear(20, outputs),
    )


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).T


@row("`nn.utils.parametrize` (masks cover what is trained, `….original`)")
def parametrized(outputs):
    layer = nn.Linear(20, 20)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(20, outputs))


@row("`parametrizations.weight_norm`", in_turn=True)
def weight_norm(outputs):
    layer = parametrizations.weight_norm(nn.Linear(20, 9))
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(9, outputs))


class LowRank(nn.Module):
    """A product of two thin matrices beside the weight, as LoRA has it."""

    def __init__(self, outs: int, ins: int):
        super().__init__()
        self.up, self.down = nn.Parameter(torch.zeros(outs, 2)), nn.Parameter(torch.zeros(2, ins))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


@row("a low-rank parametrisation (as LoRA's)")
def low_rank(outputs):
    layer = nn.Linear(20, 9)
    parametrize.register_parametrization(layer, "weight", LowRank(9, 20))
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(9, outputs))


@row("`nn.ParameterList` and `nn.ParameterDict`")
def parameter_list(outputs):
    def forward(m, x):
        for weight in m.steps:
            x = torch.tanh(x @ weight)
        return x @ m.named["out"]

    steps = nn.ParameterList([nn.Parameter(torch.zeros(20, 20)) for _ in range(2)])
    named = nn.ParameterDict({"out": nn.Parameter(torch.zeros(20, outputs))})
    return Net(forward, steps=steps, named=named)


class Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, pull):
        (x,) = ctx.saved_tensors
        return pull * (x > 0)


@row("an `autograd.Function` of one's own", in_turn=True)
def own_function(outputs):
    return Net(
        lambda m, x: m.fc(Clamp.apply(m.first(x))),
        first=nn.Linear(20, 9),
        fc=nn.Linear(9, outputs),
    )


@row("`nn.PReLU`, positions in a buffer that is not saved", SERIES)
def positions(outputs):
    net = Net(
        lambda m, x: m.fc(m.bend(x + m.at).mean(1)), bend=nn.PReLU(), fc=nn.Linear(6, outputs)
    )
    at = torch.arange(30, dtype=torch.float32).view(5, 6).sin()
    net.register_buffer("at", at, persistent=False)
    return net


@row("parameters in the order `torch.channels_last`", MAPS)
def channels_last(outputs):
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), head(16, outputs))
    return net.to(memory_format=torch.channels_last)


@row("old `nn.utils.weight_norm`", refused="layer '0' .*in a hook.*parametrizations")
def old_weight_norm(outputs):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.utils.weight_norm(nn.Linear(20, 9))
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(9, outputs))


@row(
    "`parametrizations.spectral_norm`",
    refused=r"buffer '0.parametrizations.weight.0._u' is random",
)
def spectral_norm(outputs):
    layer = parametrizations.spectral_norm(nn.Linear(20, 9))
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(9, outputs))


@row("`nn.utils.prune`", refused="layer '0' .*RandomUnstructured.*remove it")
def pruned(outputs):
    layer = prune.random_unstructured(nn.Linear(20, 9), "weight", 0.5)
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(9, outputs))


@row("forward hook that changes an output")
def hook(outputs):
    net = linear_chain(outputs)
    net[0].register_forward_hook(lambda module, args, out: out + 0.25)
    return net


@row("forward hook before a layer, with a convolution", MAPS)
def pre_hook(outputs):
    net = conv2d(outputs)
    net[0].register_forward_pre_hook(lambda module, args: (args[0] * 0.5,))
    return net


@row("an activation kept in an attribute")
def keeps_activation(outputs):
    def forward(m, x):
        m.seen = m.first(x)
        return m.fc(torch.relu(m.seen))

    return Net(forward, first=nn.Linear(20, 9), fc=nn.Linear(9, outputs))


@row("a buffer of bfloat16")
def bfloat16_buffer(outputs):
    net = Net(lambda m, x: m.fc(x * m.scale.float()), fc=nn.Linear(20, outputs))
    net.register_buffer("scale", torch.linspace(0.5, 1.5, 20).bfloat16())
    return net


@row("complex parameters", refused="parameter 'fc.weight': expected float32, got torch.complex64")
def complex_parameters(outputs):
    layer = nn.Linear(20, outputs)
    layer.weight = nn.Parameter(torch.zeros(outputs, 20, dtype=torch.complex64))
    return Net(lambda m, x: m.fc(x.to(torch.complex64)).abs(), fc=layer)


@row("half parameters", refused="parameter 'weight': expected float32, got torch.float16")
def half_parameters(outputs):
    return nn.Linear(20, outputs).half()


@row("parameters of integers", refused="parameter 'order': .*torch.int64; .*register_buffer")
def integer_parameters(outputs):
    net = Net(lambda m, x: m.fc(x[:, m.order]), fc=nn.Linear(20, outputs))
    net.order = nn.Parameter(torch.arange(20), requires_grad=False)
    return net


@row("a buffer on the `meta` device", refused="module Net: 'scale' is on the meta device")
def meta_buffer(outputs):
    net = Net(lambda m, x: m.fc(x * m.scale), fc=nn.Linear(20, outputs))
    net.register_buffer("scale", torch.ones(20, device="meta"))
    return net


@row("a forward that asserts", refused=r"does not take it \(expected 7", at="first inputs")
def asserts(outputs):
    def forward(m, x):
        assert x.shape[1] == 7, f"expected 7 numbers, got {x.shape[1]}"
        return m.fc(x)

    return Net(forward, fc=nn.Linear(7, outputs))


@row("a forward that misses a key", refused=r"does not take it \(KeyError: 'x'", at="first inputs")
def misses_a_key(outputs):
    return Net(lambda m, x: m.fc({}["x"]), fc=nn.Linear(20, outputs))


@row("lazy layers", refused="layer '0' .LazyLinear.: a lazy layer that has no shape yet")
def lazy(outputs):
    return nn.Sequential(nn.LazyLinear(9), nn.ReLU(), nn.Linear(9, outputs))


@row("lazy layers that have seen a batch")
def lazy_seen(outputs):
    net = nn.Sequential(nn.LazyLinear(9), nn.Tanh(), nn.Linear(9, outputs))
    net(torch.zeros(2, 20))
    return net


@row("`torch.jit.script`", refused="a scripted module, whose weights cannot be replaced")
def scripted(outputs):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(linear_chain(outputs))


@row("`torch.compile` (run as it is)", MAPS)
def compiled(outputs):
    return torch.compile(conv2d(outputs), backend="eager")


@row("`nn.DataParallel` (taken off)", MAPS)
def data_parallel(outputs):
    return nn.DataParallel(conv2d(outputs))


@row("a tuple", refused="gives a tuple of 2, expected its logits", at="first inputs")
def gives_tuple(outputs):
    return Net(lambda m, x: (m.fc(x), x), fc=nn.Linear(20, outputs))


@row("a dict with `logits`")
def gives_logits(outputs):
    return Net(lambda m, x: {"logits": m.fc(x), "x": x}, fc=nn.Linear(20, outputs))


@row("another dict", refused=r"gives a dict of 1 \(out\)", at="first inputs")
def gives_dict(outputs):
    return Net(lambda m, x: {"out": m.fc(x)}, fc=nn.Linear(20, outputs))


@row(
    "logits for every place of a series", SERIES, r"\(4, 5, 4\) for a batch of 4", at="first inputs"
)
def gives_series(outputs):
    return nn.Linear(6, outputs)


@row(
    "classes instead of logits", refused="type torch.int64, expected real logits", at="first inputs"
)
def gives_classes(outputs):
    return Net(lambda m, x: m.fc(x).argmax(1, keepdim=True), fc=nn.Linear(20, outputs))


@row("a parameter that is never used")
def unused(outputs):
    return Net(lambda m, x: m.fc(x), spare=nn.Linear(20, 9), fc=nn.Linear(20, outputs))


@row("control flow that depends on the data", in_turn=True)
def peeks(outputs):
    def forward(m, x):
        y = m.fc(x)
        return y if float(y.detach().sum()) > 0 else 2 * y

    return Net(forward, fc=nn.Linear(20, outputs))


@row("activation checkpointing", in_turn=True)
def checkpointed(outputs):
    def forward(m, x):
        return m.fc(checkpoint(lambda h: torch.relu(m.first(h)), x, use_reentrant=False))

    return Net(forward, first=nn.Linear(20, 9), fc=nn.Linear(9, outputs))


@row(
    "reentrant activation checkpointing",
    refused="use_reentrant=False works",
    at="first inputs",
)
def checkpointed_reentrant(outputs):
    def forward(m, x):
        h = m.first(x)
        return m.fc(checkpoint(torch.relu, h, use_reentrant=True))

    return Net(forward, first=nn.Linear(20, 9), fc=nn.Linear(9, outputs))


@row("a layer without inputs (its empty weight is left out)")
def empty_layer(outputs):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, that there is nothing to draw
        none = nn.Linear(0, outputs)
    return Net(
        lambda m, x: m.fc(x) + m.none(x[:, :0]),
        none=none,
        fc=nn.Linear(20, outputs),
    )


@row("nothing that a gradient reaches", refused="no gradient reaches", at="first inputs")
def detached(outputs):
    return Net(lambda m, x: m.fc(x).detach(), fc=nn.Linear(20, outputs))


@row("a constructor that draws an attribute", refused="attribute 'scale' is random")
def random_attribute(outputs):
    net = Net(lambda m, x: m.fc(x * m.scale), fc=nn.Linear(20, outputs))
    net.scale = torch.rand(20)
    return net


@row("a constructor that draws in NumPy", refused="attribute 'order' is random")
def random_order(outputs):
    net = Net(lambda m, x: m.fc(x[:, m.order]), fc=nn.Linear(20, outputs))
    net.order = np.random.permutation(20)
    return net


@row(
    "a constructor that draws where nobody sees it",
    refused="answers otherwise each time it is made",
    at="first inputs",
)
def random_closure(outputs):
    scale = random.random()
    return Net(lambda m, x: m.fc(torch.tanh(x * scale)), fc=nn.Linear(20, outputs))


@row("a constructor that draws a buffer", refused="buffer 'scale' is random")
def random_buffer(outputs):
    net = Net(lambda m, x: m.fc(x * m.scale), fc=nn.Linear(20, outputs))
    net.register_buffer("scale", torch.rand(20))
    return net


@row("a constructor that draws how large a layer is", refused="is not the same each time")
def random_width(outputs):
    width = int(torch.randint(5, 5000, ()))
    return nn.Sequential(nn.Linear(20, width), nn.Tanh(), nn.Linear(width, outputs))


@row("a constructor that draws from a seed of its own")
def own_seed(outputs):
    net = Net(lambda m, x: m.fc(x[:, m.order]), fc=nn.Linear(20, outputs))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(5))
    net.register_buffer("order", order)
    return net


@row("a buffer that counts", refused="changes buffer 'calls' in", at="first inputs")
def counts(outputs):
    def forward(m, x):
        m.calls += 1
        return m.fc(x)

    net = Net(forward, fc=nn.Linear(20, outputs))
    net.register_buffer("calls", torch.zeros((), dtype=torch.int64))
    return net


@row(
    "a buffer that averages in training",
    refused="changes buffer 'mean' in training",
    at="first inputs",
)
def averages(outputs):
    def forward(m, x):
        if m.training:
            m.mean = 0.9 * m.mean + 0.1 * x.detach().mean(0)
        return m.fc(x - m.mean)

    net = Net(forward, fc=nn.Linear(20, outputs))
    net.register_buffer("mean", torch.zeros(20))
    return net


@row(
    "an attribute that counts",
    refused="answers otherwise when it is asked again",
    at="first inputs",
)
def counts_in_attribute(outputs):
    def forward(m, x):
        m.calls += 1
        return m.fc(x) * m.calls

    net = Net(forward, fc=nn.Linear(20, outputs))
    net.calls = 0
    return net


@row(
    "a forward that draws in evaluation", refused="random numbers in evaluation", at="first inputs"
)
def always_drops(outputs):
    return Net(lambda m, x: m.fc(F.dropout(x, 0.5)), fc=nn.Linear(20, outputs))


@row(
    "a convolution over images that are rows",
    (32,),
    r"layer '0' \(Conv2d\).*\(2, 4, 4\).*nn.Unflatten\(1, \(2, 4, 4\)\)",
    at="first inputs",
)
def conv_over_rows(outputs):
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), head(16, outputs))


@row(
    "layers that do not fit each other",
    refused=r"layer 'second.1' \(Linear\): mat1 and mat2",
    at="first inputs",
)
def misfit(outputs):
    return Net(
        lambda m, x: m.second(m.first(x)),
        first=nn.Linear(20, 9),
        second=nn.Sequential(nn.ReLU(), nn.Linear(8, outputs)),
    )
