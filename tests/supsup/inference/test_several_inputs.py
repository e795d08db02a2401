"""A network of several inputs (token ids and their mask, a tuple or by name) finds tasks, too."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maskstore.errors import InvalidInput
from supsup import Backbone, SupSup, TensorTask
from supsup.inference import MaskBank, infer_in
from supsup.inference.objectives import Entropy
from supsup.inference.prototypes import FeatureRecipe, add_prototypes
from supsup.inference.query import Query
from supsup.inference.superposition import gradients
from tests.supsup.inference.helpers import BY_MASKS, images, random_masks, stacked

FORMS = {
    "tuple": lambda x: (x[:, :6], x[:, 6:]),
    "by name": lambda x: {"right": x[:, 6:], "left": x[:, :6]},
}


class One(nn.Module):
    """Two layers over one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(13, 11), nn.LayerNorm(11), nn.Linear(11, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.norm(torch.relu(self.first(x))))


class Two(One):
    """The same over two tensors side by side."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return super().forward(torch.cat([left, right], 1))


def banks() -> tuple[MaskBank, MaskBank]:
    one, two = (Backbone.from_module(kind(), seed=3) for kind in (One, Two))
    return MaskBank(one, random_masks(one, 5)), MaskBank(two, random_masks(two, 5))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["image", "batch", "first"])
@pytest.mark.parametrize("method", BY_MASKS)
def test_every_method_says_what_it_says_of_the_same_numbers_in_one_tensor(method, mode, form):
    one, two = banks()
    x = images(4)
    expected = infer_in(one, x, method=method, mode=mode)
    found = infer_in(two, FORMS[form](x), method=method, mode=mode)
    np.testing.assert_allclose(found.evidence, expected.evidence, rtol=1e-4, atol=1e-5)
    assert found.names == expected.names
    assert found.predictions.tolist() == expected.predictions.tolist()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("per_image", [False, True])
def test_slopes_are_those_of_autograd_through_all_coefficients(form, per_image):
    _, bank = banks()
    x = images(3)
    found = gradients(Query(bank=bank, x=FORMS[form](x), objective=Entropy(), per_image=per_image))
    backbone = bank.backbone
    masks = stacked(backbone, random_masks(backbone, 5))
    slopes = []
    for part in x.split(1) if per_image else [x]:
        alpha = torch.full((5,), 0.2, dtype=torch.float64, requires_grad=True)
        mixed = {
            name: backbone.weights[name].double() * torch.tensordot(alpha, mask, 1)
            for name, mask in masks.items()
        }
        pair = tuple(each.double() for each in FORMS["tuple"](part))
        module = deepcopy(backbone.module).double()
        logits = torch.func.functional_call(module, mixed, pair)
        p = logits.softmax(1)
        (slope,) = torch.autograd.grad(-(p * p.log()).sum(1).mean(), alpha)
        slopes.append(slope.numpy())
    np.testing.assert_allclose(found, np.stack(slopes), rtol=1e-4, atol=1e-5)


class Words(nn.Module):
    """The mean over the words of a text that are none of its padding, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.inner, self.head = (
            nn.Embedding(40, 24),
            nn.Linear(24, 32),
            nn.Linear(32, 2),
        )

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        weight = mask[:, :, None].float()
        mean = (self.table(ids) * weight).sum(1) / weight.sum(1).clamp(min=1)
        return self.head(torch.relu(self.inner(mean)))


def texts(task: int, count: int = 200) -> tuple[dict[str, Tensor], Tensor]:
    """Each task has ten words of its own, a class five of them; behind a text there is padding."""
    generator = torch.Generator().manual_seed(task)
    y = torch.arange(count) % 2
    ids = torch.randint(5, (count, 6), generator=generator) + 10 * task + 5 * y[:, None]
    mask = (torch.arange(6) < torch.randint(2, 7, (count, 1), generator=generator)).long()
    return {"ids": ids * mask, "mask": mask}, y


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "a.h5"
    tasks = [
        TensorTask(f"texts/{at}", train=texts(at), test=texts(at, 60), classes=2) for at in range(3)
    ]
    with SupSup.create(path, Words(), seed=1) as model:
        model.train(tasks, steps=120, lr=0.01, optimizer="adam", batch=50, quiet=True)
    return path, tasks


def test_texts_and_their_padding_from_training_to_prediction(trained):
    path, tasks = trained
    with SupSup.open(path, network=Words()) as model:
        kept = [each.metadata["metrics"]["accuracy"] for each in model.tasks.values()]
        assert min(kept) > 0.95
        assert [row.accuracy for row in model.evaluate(tasks).per_task] == kept
        found = model.evaluate(tasks, "GNu", method="exhaustive", mode="batch", batch=30)
        assert found.task_accuracy == 1
        assert found.accuracy == pytest.approx(np.mean(kept))
        x, y = texts(1, 30)
        together = model.infer(x, method="exhaustive", mode="batch")
        assert set(together.names) == {"texts/1"}
        assert (together.predictions == y.numpy()).mean() > 0.95
        assert (model.predict(x, "texts/1").predictions == together.predictions).all()
        # One text alone, at every method.
        one = {name: each[:1] for name, each in x.items()}
        for method in BY_MASKS:
            alone = model.infer(one, method=method)
            among = model.infer(x, method=method)
            np.testing.assert_allclose(alone.evidence[0], among.evidence[0], rtol=1e-4, atol=1e-5)
        # What several inputs have no meaning for says so.
        with pytest.raises(InvalidInput, match="name a layer of the network"):
            add_prototypes(model.archive, model.backbone, tasks, FeatureRecipe(size=16))
        with pytest.raises(InvalidInput, match=r"data: expected as many images in each"):
            model.infer({**x, "mask": x["mask"][:5]})
        with pytest.raises(InvalidInput, match="network"):
            model.infer(x["ids"])


def test_prototypes_of_a_layer_tell_texts_apart(trained, tmp_path):
    path, tasks = trained
    copied = tmp_path / "b.h5"
    copied.write_bytes(path.read_bytes())
    with SupSup.open(copied, network=Words(), mode="a") as model:
        add_prototypes(model.archive, model.backbone, tasks, FeatureRecipe(size=64, layer="inner"))
        found = model.evaluate(tasks, "GNu", method="prototypes")
        assert found.task_accuracy > 0.9


def test_a_part_that_is_not_finite_is_named():
    _, bank = banks()
    left, right = FORMS["tuple"](images(4))
    right[2, 1] = torch.nan
    with pytest.raises(InvalidInput, match=r"data \[1\]: 1 of 4 images have numbers that are NaN"):
        infer_in(bank, (left, right))
    with pytest.raises(InvalidInput, match="empty tuple"):
        infer_in(bank, ())
