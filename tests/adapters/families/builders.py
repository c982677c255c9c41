"""Every family of diffusers that is tested, small: its real classes, schedulers and tokenizers.

`FAMILIES[name](folder)` saves a pipeline with random weights, and beside it a memex.toml with the settings of
a picture that is drawn in a moment. `EVERY_FAMILY` has those too that take seconds.
"""

import torch
from families import cascades, unconditional
from families import diffusion_transformers as transformers
from families import stable_diffusion as sd

PROMPTED = {"steps": 2, "guidance": 3.0, "size": 32}
ONE_STEP = {"steps": 1, "guidance": 0.0, "size": 32}
UNPROMPTED = {"steps": 2}


def _family(save, generation, **others):
    def build(folder):
        torch.manual_seed(0)
        save(folder)
        lines = ["[generation]", *(f"{name} = {value}" for name, value in generation.items())]
        for name, ending in others.items():
            lines += ["[model]", f'{name} = "../{folder.name}{ending}"']
        (folder / "memex.toml").write_text("\n".join(lines) + "\n")
        return folder

    return build


EVERY_FAMILY = {
    "Stable Diffusion 1": _family(sd.stable_diffusion_1, PROMPTED),
    "Stable Diffusion 2 (v-prediction)": _family(sd.stable_diffusion_2, PROMPTED),
    "Stable Diffusion XL": _family(sd.stable_diffusion_xl, PROMPTED),
    "Stable Diffusion 3": _family(sd.stable_diffusion_3, PROMPTED),
    "Stable Diffusion 3 without T5": _family(sd.stable_diffusion_3_without_t5, PROMPTED),
    "FLUX.1-dev": _family(transformers.flux, PROMPTED),
    "FLUX.1-schnell": _family(transformers.flux_schnell, ONE_STEP),
    "PixArt-alpha": _family(transformers.pixart_alpha, PROMPTED),
    "PixArt-sigma": _family(transformers.pixart_sigma, PROMPTED),
    "DiT": _family(transformers.dit, {"steps": 2, "guidance": 3.0}),
    "Kandinsky 2.2": _family(cascades.kandinsky_2_2, PROMPTED),
    "Kandinsky 2.2 in two folders": _family(cascades.kandinsky_2_2_in_two_folders, PROMPTED, prior="-prior"),
    "DeepFloyd IF, stage I": _family(cascades.deepfloyd_if, {"steps": 2, "guidance": 3.0}),
    "DeepFloyd IF, stages I and II": _family(
        cascades.deepfloyd_if_with_stage_2, {"steps": 2, "guidance": 3.0}, stage_2="-stage-2"
    ),
    "Latent consistency": _family(sd.latent_consistency, {"steps": 2, "guidance": 0.0, "size": 32}),
    "SD Turbo": _family(sd.sd_turbo, ONE_STEP),
    "SDXL Turbo": _family(sd.sdxl_turbo, ONE_STEP),
    "Sana": _family(transformers.sana, PROMPTED),
    "AuraFlow": _family(transformers.aura_flow, PROMPTED),
    "Hunyuan-DiT": _family(transformers.hunyuan_dit, {"steps": 1, "guidance": 3.0}),
    "Lumina 2": _family(transformers.lumina_2, PROMPTED),
    "CogView 4": _family(transformers.cogview_4, PROMPTED),
    "Chroma": _family(transformers.chroma, PROMPTED),
    "Qwen-Image": _family(transformers.qwen_image, {"steps": 2, "size": 32}),
    "DDPM": _family(unconditional.ddpm, UNPROMPTED),
    "DDIM": _family(unconditional.ddim, UNPROMPTED),
    "EDM": _family(unconditional.edm, UNPROMPTED),
    "Consistency model": _family(unconditional.consistency, {"steps": 1}),
    "Consistency model by class": _family(unconditional.consistency_by_class, {"steps": 1}),
    "Latent diffusion without prompts": _family(unconditional.latent_diffusion, UNPROMPTED),
}

# Hunyuan-DiT draws nothing smaller than 1,024 pixels; stage II takes 50 steps.
COSTLY = ("Hunyuan-DiT", "DeepFloyd IF, stages I and II")
FAMILIES = {name: build for name, build in EVERY_FAMILY.items() if name not in COSTLY}

# What diffusers saves and cannot load or draw with again, and what the message says.
REFUSED = {
    "Stable Diffusion 3 without CLIP": (
        _family(sd.stable_diffusion_3_without_clip, PROMPTED),
        "must have its text_encoder and text_encoder_2 and tokenizer and tokenizer_2 to draw",
    ),
    "Stable Cascade": (
        _family(cascades.stable_cascade, {"steps": 2, "guidance": 3.0}),
        "`diffusers` has no class `PaellaVQModel`",
    ),
}
