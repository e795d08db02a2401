"""From a configuration to its mask rule."""

from maskstore.layout import MaskLayout
from supsup.config import TrainConfig
from supsup.rules.base import MaskRule
from supsup.rules.density import budget, paper_budget
from supsup.rules.gradual import Gradual
from supsup.rules.threshold import Threshold
from supsup.rules.topk import TopK


def rule_of(config: TrainConfig, layout: MaskLayout) -> MaskRule:
    """The mask rule that a configuration names, for one layout."""
    if config.rule == "threshold":
        return Threshold()
    if config.rule == "gradual":
        return Gradual(layout, config.density, config.budget, start_density=config.start_density)
    if config.multiplier is not None:
        return TopK(paper_budget(layout, config.multiplier))
    return TopK(budget(layout, config.density, config.budget))
