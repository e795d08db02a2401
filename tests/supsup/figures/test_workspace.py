from supsup import BackboneRecipe, TrainConfig
from supsup.figures import Workspace


def test_trainings_that_differ_have_archives_of_their_own(tmp_path):
    workspace = Workspace(folder=tmp_path)
    net = BackboneRecipe(net="lenet-300-100", outputs=10)
    configs = [
        TrainConfig(steps=5),
        TrainConfig(steps=6),
        TrainConfig(steps=5, seed=1),
        TrainConfig(steps=5, optimizer="adam"),
        TrainConfig(steps=5, transfer="masks"),
        TrainConfig(steps=5, rule="topk"),
        TrainConfig(steps=5, rule="topk", density=0.1),
        TrainConfig(steps=5, rule="topk", budget="erdos-renyi"),
    ]
    paths = {workspace.archive("split-mnist", net, config) for config in configs}
    wide = BackboneRecipe(net="lenet-300-100", outputs=20)
    paths |= {workspace.archive("split-mnist", wide, configs[0])}
    paths |= {workspace.archive("split-mnist-sample", net, configs[0])}
    assert len(paths) == len(configs) + 2
