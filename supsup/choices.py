"""Every name that an option takes, said once: for validation, ``--help`` and type checkers.

Nothing here imports torch. Where a registry gives each name its class, a test proves that its keys
are these (``tests/test_choices.py``). Names of codecs are in :mod:`maskstore.choices`.
"""

from typing import Literal

NetName = Literal["lenet-300-100", "fc-1024-1024", "bn-2048", "resnet18", "resnet50"]
"""Beside ``module:function``."""
DEFAULT_NET: NetName = "lenet-300-100"
DEFAULT_OUTPUTS = 100

InitName = Literal["signed-constant", "scaled-signed-constant", "kaiming-normal", "scaled-kaiming"]
StatisticsName = Literal["batch", "running", "frozen"]
MaskRuleName = Literal["threshold", "topk", "gradual"]
BudgetName = Literal["uniform", "erdos-renyi"]
OptimizerName = Literal["adam", "normed-sgd", "rmsprop", "sgd"]
BaselineOptimizerName = Literal["adam", "rmsprop", "sgd"]
ScheduleName = Literal["constant", "cosine"]
TransferName = Literal["none", "masks", "scores"]
OutlierKindName = Literal["shuffled", "rotated", "gaussian"]
TensorTypeName = Literal["float32", "float16", "bfloat16", "int8"]
"""Of the parameters that a task keeps beside its mask."""
PrecisionName = Literal["float32", "tf32", "bfloat16"]
EngineName = Literal["local", "ray"]
LogName = Literal["csv", "tensorboard", "wandb", "mlflow"]

DatasetName = Literal["mnist", "fashion-mnist", "mnist-sample", "cifar100", "imagenet"]
TaskRuleName = Literal["split", "permuted", "rotated"]
FamilyName = Literal[
    "split-mnist",
    "split-fashion-mnist",
    "split-mnist-sample",
    "split-cifar100",
    "split-imagenet",
    "permuted-mnist",
    "permuted-fashion-mnist",
    "permuted-mnist-sample",
    "permuted-cifar100",
    "rotated-mnist",
    "rotated-fashion-mnist",
    "rotated-mnist-sample",
    "rotated-cifar100",
]

LabelsName = Literal["shared", "original"]
SamplingName = Literal["bilinear", "nearest"]

ScenarioName = Literal["GG", "GNs", "GNu", "NNs"]
MethodName = Literal["one-shot", "binary", "exhaustive", "logits", "hybrid", "prototypes"]
"""Beside ``auto``."""
ObjectiveName = Literal["entropy", "superfluous", "energy", "max-probability", "g"]
"""Beside ``auto``."""
ModeName = Literal["image", "batch", "first"]
AllocationName = Literal["level", "prototypes", "uniform"]

HopfieldRuleName = Literal["projection", "storkey", "covariance", "hebb", "modern"]
HopfieldFormName = Literal["dense", "packed", "blocks"]
"""Forms of a memory that patterns are put into; ``quantised`` is made of one that is full."""
RecoveryName = Literal["annealed", "eq6"]

BaselineName = Literal[
    "upper-bound",
    "lower-bound",
    "separate-heads",
    "separate-heads-random",
    "batche",
    "psp",
    "psp-rotation",
    "ewc",
    "icarl",
    "replay",
    "packnet",
    "wsn",
]
CheckpointName = Literal["threshold", "topk", "piggyback"]
FigureName = Literal[
    "permuted-mnist",
    "rotated-mnist",
    "outputs",
    "nns",
    "transfer",
    "bytes",
    "hopfield",
    "hopfield-seeds",
]

PROTOTYPES_SET = "prototypes"
"""The archive's own set of tensors that holds what the prototypes of all tasks have in common."""
