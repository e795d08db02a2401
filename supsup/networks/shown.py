"""What a backbone is called, and how it is shown.

Apart from :mod:`supsup.networks.backbone`, which has no room for what does not compute.
"""

from functools import cached_property

from torch import nn

from maskstore.layout import MaskLayout
from maskstore.notebook import Shown, counted
from supsup.networks.recipe import BackboneRecipe


class ShownNetwork(Shown):
    """A network with a name.

    Attributes:
        recipe, module, layout: as of :class:`supsup.Backbone`.
    """

    recipe: BackboneRecipe | None
    module: nn.Module
    layout: MaskLayout

    @property
    def name(self) -> str:
        """What errors call it."""
        if self.recipe is None:
            return type(self.module).__name__
        return f"{self.recipe.net} (seed {self.recipe.seed}, {self.recipe.outputs} outputs)"

    @cached_property
    def _numbers(self) -> int:
        return sum(each.numel() for each in self.module.parameters())

    def _shown(self) -> str:
        device = next(self.module.parameters()).device
        return (
            f"{self.name}: masks cover {self.layout.bits:,} of {counted(self._numbers, 'weight')} "
            f"in {counted(len(self.layout.shapes), 'layer')}, on {device}"
        )
