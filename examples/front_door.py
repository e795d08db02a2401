"""Your own network and your own data, with class names, through one object.

python examples/front_door.py
"""

import torch
from torch import nn

from supsup import SupSup, TensorTask

generator = torch.Generator().manual_seed(0)


def blobs(name: str, *classes: str) -> TensorTask:
    """Points around a centre for each class, in 20 dimensions."""
    y = torch.arange(400) % len(classes)
    centres = 2 * torch.randn(len(classes), 20, generator=generator)
    x = centres[y] + torch.randn(400, 20, generator=generator)
    return TensorTask(name, train=(x[:300], y[:300]), test=(x[300:], y[300:]), classes=classes)


def network() -> nn.Module:
    """Any module; its weights do not matter, they come from the archive's seed."""
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5))


tasks = [blobs("pets", "cat", "dog"), blobs("birds", "finch", "gull", "owl")]
with SupSup.create("own.h5", network(), seed=1) as model:
    for stored in model.train(tasks, steps=100, batch=50):
        print(stored.name, stored.metadata["metrics"]["accuracy"], stored.bytes, "bytes")

with SupSup.open("own.h5", network=network()) as model:
    print(model.evaluate(tasks).accuracy)
    images = torch.cat([next(iter(task.test_batches(3)))[0] for task in tasks])
    print(model.infer(images).names)  # which task each image is of
    answers = model.predict(images, ["pets"] * 3 + ["birds"] * 3)
    print(answers.labels)
    print(model.module("birds")(images[3:]).softmax(1)[:, :3])
