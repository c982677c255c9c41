"""Every family of diffusers that is tested, small: its real classes, schedulers and tokenizers.

`FAMILIES[name](folder)` saves a pipeline with random weights, and beside it a memex.toml with the settings of
a picture that is drawn in a moment.
"""

import torch
from families import diffusion_transformers as transformers
from families import stable_diffusion, unconditional

PROMPTED = {"steps": 2, "guidance": 3.0, "size": 32}


def _family(save, generation):
    def build(folder):
        torch.manual_seed(0)
        save(folder)
        lines = ["[generation]", *(f"{name} = {value}" for name, value in generation.items())]
        (folder / "memex.toml").write_text("\n".join(lines) + "\n")
        return folder

    return build


FAMILIES = {
    "Stable Diffusion 1": _family(stable_diffusion.stable_diffusion_1, PROMPTED),
    "Stable Diffusion 2 (v-prediction)": _family(stable_diffusion.stable_diffusion_2, PROMPTED),
    "Stable Diffusion XL": _family(stable_diffusion.stable_diffusion_xl, PROMPTED),
    "Stable Diffusion 3": _family(stable_diffusion.stable_diffusion_3, PROMPTED),
    "Stable Diffusion 3 without T5": _family(stable_diffusion.stable_diffusion_3_without_t5, PROMPTED),
    "FLUX.1": _family(transformers.flux, PROMPTED),
    "DDPM": _family(unconditional.ddpm, {"steps": 2}),
}
