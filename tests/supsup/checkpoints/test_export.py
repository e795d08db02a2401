"""Every export is loaded strictly into the module as its factory builds it, and asked again."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from maskstore import InvalidInput
from supsup import BackboneRecipe, build
from supsup.archives import create_archive
from supsup.checkpoints import export_dense
from supsup.checkpoints.export import dense_state
from supsup.networks import Backbone, make_module

HERE = __name__


class Tied(nn.Module):
    """One matrix under two names, as embedding and head."""

    def __init__(self, outputs):
        super().__init__()
        self.embedding = nn.Embedding(outputs, 6)
        self.head = nn.Linear(6, outputs, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.embedding(x.long() % self.head.out_features).mean(1))


class Thrice(nn.Module):
    """One module in three places."""

    def __init__(self, outputs):
        super().__init__()
        self.first = nn.Linear(12, 12)
        self.again = self.first
        self.rest = nn.Sequential(self.first, nn.ReLU(), nn.Linear(12, outputs))

    def forward(self, x):
        return self.rest(self.again(self.first(x)))


class Functional(nn.Module):
    """Statistics of the batch without a module that keeps any."""

    def __init__(self, outputs):
        super().__init__()
        self.fc = nn.Linear(12, outputs)

    def forward(self, x):
        return F.batch_norm(self.fc(x), None, None, training=True)


class Extra(nn.Linear):
    """State that is no tensor."""

    def get_extra_state(self):
        return {"version": 1}

    def set_extra_state(self, state):
        pass


class Forgetful(nn.Linear):
    """Leaves its weight out of its state."""

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        destination[f"{prefix}bias"] = self.bias


class Scaling(nn.Linear):
    """Loads something else than it is given."""

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        state_dict = {name: 2 * tensor for name, tensor in state_dict.items()}
        super()._load_from_state_dict(state_dict, prefix, *rest)


def make_mlp(outputs):
    return nn.Sequential(nn.Linear(12, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, outputs))


def make_norms(outputs):
    return nn.Sequential(
        nn.Linear(12, 8), nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.Linear(8, outputs)
    )


def make_instance_norm(outputs, track=True):
    norm = nn.InstanceNorm1d(3, affine=True, track_running_stats=track)
    return nn.Sequential(nn.Unflatten(1, (3, 4)), norm, nn.Flatten(), nn.Linear(12, outputs))


def make_batch_norm(outputs, track=True):
    norm = nn.BatchNorm1d(8, track_running_stats=track)
    return nn.Sequential(nn.Linear(12, 8), norm, nn.Linear(8, outputs))


def make_parametrized(outputs):
    layer = nn.Linear(12, outputs)
    nn.utils.parametrizations.weight_norm(layer)
    return nn.Sequential(layer)


def make_convolutions(outputs):
    return nn.Sequential(
        nn.Unflatten(1, (3, 2, 2)),
        nn.Conv2d(3, 6, 1, groups=3),
        nn.ConvTranspose2d(6, 3, 1),
        nn.Flatten(),
        nn.Linear(12, outputs),
    )


def make_extra(outputs):
    return Extra(12, outputs)


def make_forgetful(outputs):
    return Forgetful(12, outputs)


def make_scaling(outputs):
    return Scaling(12, outputs)


def residual(net, width):
    return BackboneRecipe(net=net, outputs=5, options={"width": width}, statistics="batch")


def masked_net(tmp_path, recipe):
    """A network of the recipe, an archive of one task of it, and that task's mask."""
    backbone = build(recipe, allow_code=True)
    rng = np.random.default_rng(0)
    masks = {name: rng.random(shape) < 0.6 for name, shape in backbone.layout.shapes.items()}
    archive = create_archive(tmp_path / "a.h5", backbone)
    archive.add("t", masks)
    return archive, backbone, masks


@pytest.mark.parametrize(
    ("recipe", "shape"),
    [
        (BackboneRecipe(net="lenet-300-100", outputs=5), (784,)),
        (BackboneRecipe(net="fc-1024-1024", outputs=5), (784,)),
        (BackboneRecipe(net="bn-2048", outputs=5, options={"width": 32}), (784,)),
        (
            BackboneRecipe(net="resnet18", outputs=5, options={"width": 4}, statistics="batch"),
            (3, 32, 32),
        ),
        (
            BackboneRecipe(net="resnet50", outputs=5, options={"width": 2}, statistics="batch"),
            (3, 64, 64),
        ),
        (BackboneRecipe(net=f"{HERE}:make_mlp", outputs=5), (12,)),
        (BackboneRecipe(net=f"{HERE}:Tied", outputs=5), (12,)),
        (BackboneRecipe(net=f"{HERE}:Tied", outputs=5, maskable=["embedding.weight"]), (12,)),
        (BackboneRecipe(net=f"{HERE}:Thrice", outputs=5), (12,)),
        (BackboneRecipe(net=f"{HERE}:Functional", outputs=5), (12,)),
        (BackboneRecipe(net=f"{HERE}:make_norms", outputs=5), (12,)),
        (
            BackboneRecipe(net=f"{HERE}:make_instance_norm", outputs=5, options={"track": False}),
            (12,),
        ),
        (BackboneRecipe(net=f"{HERE}:make_batch_norm", outputs=5, options={"track": False}), (12,)),
        (BackboneRecipe(net=f"{HERE}:make_parametrized", outputs=5), (12,)),
        (BackboneRecipe(net=f"{HERE}:make_convolutions", outputs=5), (12,)),
    ],
    ids=lambda value: getattr(value, "net", "").rpartition(":")[2] or "x",
)
def test_what_is_exported_gives_the_same_logits(tmp_path, recipe, shape):
    archive, backbone, masks = masked_net(tmp_path, recipe)
    with archive:
        size = export_dense(archive, "t", backbone, tmp_path / "t.safetensors")
    assert size == (tmp_path / "t.safetensors").stat().st_size
    torch.manual_seed(1)  # whatever the factory draws is overwritten
    dense = make_module(recipe, allow_code=True)
    dense.load_state_dict(load_file(tmp_path / "t.safetensors"), strict=True)
    x = torch.randn(7, *shape)
    with torch.no_grad():
        ours = backbone.logits(x, backbone.tensors(masks))
        assert torch.equal(dense.eval()(x), ours)
    assert ours.std() > 0


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("make_batch_norm", "'1' answers by running statistics.*--statistics running"),
        ("make_instance_norm", "'1' answers by running statistics.*--statistics running"),
        ("make_extra", "holds '_extra_state', which is no tensor"),
        ("make_forgetful", "leaves 'weight' out"),
        ("make_scaling", "is another after loading"),
    ],
)
def test_what_no_file_could_make_answer_alike_is_refused(tmp_path, net, message):
    archive, backbone, _ = masked_net(
        tmp_path, BackboneRecipe(net=f"{HERE}:{net}", outputs=5, statistics="batch")
    )
    with archive, pytest.raises(InvalidInput, match=message) as caught:
        export_dense(archive, "t", backbone, tmp_path / "t.safetensors")
    assert "\n" not in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("track", [True, False])
def test_a_module_that_was_handed_in(track):
    """Of such a module nobody knows any more whether its batch normalisation kept statistics."""
    backbone = Backbone.from_module(make_batch_norm(5, track), seed=0, statistics="batch")
    masks = {name: torch.ones(shape) for name, shape in backbone.layout.shapes.items()}
    with pytest.raises(InvalidInput, match="--statistics running"):
        dense_state(backbone, masks)
    plain = Backbone.from_module(make_mlp(5), seed=0)
    masks = {name: torch.zeros(shape) for name, shape in plain.layout.shapes.items()}
    dense = dense_state(plain, masks)
    assert list(dense) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert not dense["0.weight"].any()
    assert plain.module[0].weight.any()


def test_other_endings_are_refused(tmp_path):
    archive, backbone, _ = masked_net(tmp_path, BackboneRecipe(net=f"{HERE}:make_mlp", outputs=5))
    with archive, pytest.raises(InvalidInput, match="safetensors"):
        export_dense(archive, "t", backbone, tmp_path / "t.pt")
