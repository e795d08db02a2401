"""Write tests/golden/codecs.json. Only ever add to it: what a release wrote must stay readable."""

import json
from dataclasses import replace
from pathlib import Path

from maskstore import MaskLayout
from maskstore.codecs import CODECS, Prior
from maskstore.layout import sha256_of_bits
from maskstore.seeded.scores import ScoreStart
from tests.maskstore.codecs.helpers import packed_mask, trained_masks

LAYOUT = MaskLayout({"fc1.weight": (24, 50), "fc2.weight": (10, 24), "bn.weight": (9,)})


def main() -> None:
    """Every codec, with a trained mask and a sparse one, for two kinds of weights."""
    vectors = []
    for init in ("signed-constant", "kaiming-normal"):
        backbone = {"net": "x", "outputs": 10, "seed": 3, "init": init}
        start = ScoreStart(seed=5, stream="scores" if init == "signed-constant" else "scores/t")
        masks = {
            "trained": LAYOUT.pack(trained_masks(LAYOUT, start=start, rank=1)),
            "sparse": packed_mask(LAYOUT, 0.03, seed=1),
        }
        for what, packed in masks.items():
            prior = Prior.of_archive(LAYOUT, backbone).of_task({"scores": start.to_json()})
            reference = packed ^ packed_mask(LAYOUT, 0.02, seed=2)
            prior = replace(prior, reference=reference)
            for codec in CODECS:
                stored = codec.encode(packed, prior)
                if stored is not None:
                    needs = {"reference": reference.tobytes().hex()} if codec.id == 5 else {}
                    vectors.append(
                        {
                            "what": f"{what}, {init}",
                            "codec": codec.name,
                            "layout": LAYOUT.to_json(),
                            "backbone": backbone,
                            "stored": stored.hex(),
                            "sha256": sha256_of_bits(packed).hex(),
                            **needs,
                        }
                    )
    text = json.dumps(vectors, indent=1)
    Path(__file__).with_name("codecs.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
