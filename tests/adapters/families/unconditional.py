"""Models without prompts, and with labels instead of them."""

import diffusers
from families.latent_parts import pixel_unet, plain_quantizer


def ddpm(folder):
    diffusers.DDPMPipeline(pixel_unet(), diffusers.DDPMScheduler()).save_pretrained(folder)


def ddim(folder):
    diffusers.DDIMPipeline(pixel_unet(), diffusers.DDIMScheduler()).save_pretrained(folder)


def edm(folder):
    """Save a UNet of pixels that is sampled as in Karras et al. 2022."""
    diffusers.KarrasVePipeline(pixel_unet(), diffusers.KarrasVeScheduler()).save_pretrained(folder)
    # diffusers 0.42 writes "deprecated" as the library of a scheduler that it only loads from "diffusers".
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace('"deprecated"', '"diffusers"'))


def consistency(folder):
    _consistency(folder)


def consistency_by_class(folder):
    _consistency(folder, num_class_embeds=10)


def _consistency(folder, **others):
    scheduler = diffusers.CMStochasticIterativeScheduler(
        num_train_timesteps=40, sigma_min=0.002, sigma_max=80.0
    )
    diffusers.ConsistencyModelPipeline(pixel_unet(**others), scheduler).save_pretrained(folder)


def latent_diffusion(folder):
    diffusers.LDMPipeline(
        vqvae=plain_quantizer(), unet=pixel_unet(), scheduler=diffusers.DDIMScheduler()
    ).save_pretrained(folder)
