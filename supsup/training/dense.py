"""A network trained whole on one task: the trunk that the masks of other tasks then lie over.

The paper's separate heads and Piggyback (Mallya et al., 2018) begin with such a network.
"""

from collections.abc import Callable
from operator import itemgetter

import torch.nn.functional as F
from jaxtyping import Shaped
from torch import Tensor

from maskstore.numbers import parse_positive
from supsup.errors import TrainingDiverged
from supsup.evaluation.score import check_outputs
from supsup.networks.backbone import Backbone
from supsup.networks.modes import plain_modes, seeded_generators
from supsup.tasks.batch import map_inputs
from supsup.tasks.checked import check_task
from supsup.tasks.protocol import TaskData
from supsup.training.batches import batches_for
from supsup.training.config import TrainConfig
from supsup.training.progress import LossMeter, Progress, not_finite
from supsup.training.updates import make_optimizer

DENSE_LR = 1e-3
"""Learning rate of a dense network: PyTorch's own of Adam."""


@plain_modes()
def train_dense(
    backbone: Backbone,
    task: TaskData,
    config: TrainConfig,
    *,
    lr: float = DENSE_LR,
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Shaped[Tensor, "..."]]:
    """Train every parameter of a network on a task, by Adam at a constant rate.

    Cross-entropy is over all outputs, as when masks are trained, and the same training images are
    held out. Layers are in training mode; running statistics are learnt where the backbone has any.

    Args:
        backbone: what training begins from; it is not written to.
        config: gives steps or epochs, the batch, and the seed of the order of images and of
            dropout.
        lr: learning rate.
        report: told of the loss every few steps.

    Returns:
        Parameters and running statistics by name, on the CPU.

    Raises:
        InvalidInput: the task has no images, or more classes than the network has outputs; or no
            positive rate.
        TrainingDiverged: the loss or a number is not finite.
    """
    lr = parse_positive("backbone lr", lr)
    task = check_task(task)
    backbone = backbone.replica()
    leaves = {
        name: each.detach().clone().requires_grad_()
        for name, each in backbone.module.named_parameters()
    }
    own = {name: each.clone() for name, each in backbone.task_tensors.items()}
    optimizer = make_optimizer("adam", list(leaves.values()), lr)
    steps = config.steps_for(task.train_size)
    meter = LossMeter([task.name], steps, report, backbone.device)
    source = batches_for([task], config, backbone.device)
    with seeded_generators(backbone.device, config.seed):
        for step in range(steps):
            x, y = next(source)
            with backbone.holding({**leaves, **own}, training=True):
                logits = backbone.forward(map_inputs(itemgetter(0), x))
                if step == 0:
                    check_outputs(logits.shape[1], task)
                loss = F.cross_entropy(logits.float(), y[0])
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            meter.add(loss.detach()[None])
            if meter.all_failed:
                break
    trained = {name: each.detach() for name, each in leaves.items()}
    failure = meter.failures.get(0) or not_finite({}, {**trained, **own})
    if failure:
        raise TrainingDiverged(
            f"task {task.name!r}: the network trained on it has no use: {failure}; lower its "
            f"learning rate (now {lr:g}) and check the data for NaN",
            task=task.name,
        )
    return {name: each.cpu().contiguous() for name, each in {**trained, **own}.items()}
