"""Models without prompts."""

from diffusers import DDPMPipeline, DDPMScheduler
from families.latent_parts import pixel_unet


def ddpm(folder):
    DDPMPipeline(unet=pixel_unet(), scheduler=DDPMScheduler()).save_pretrained(folder)
