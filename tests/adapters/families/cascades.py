"""Models that draw in stages: Kandinsky, DeepFloyd IF, Stable Cascade."""

import diffusers
from families.latent_parts import SCALE_AND_SHIFT, prompted_unet, quantizer
from families.text_parts import clip, t5
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection


def kandinsky_2_2(folder):
    """Save decoder and prior in one folder, as one pipeline."""
    (decoder, prior) = _kandinsky()
    diffusers.KandinskyV22CombinedPipeline(
        **decoder, **{f"prior_{name}": part for name, part in prior.items()}
    ).save_pretrained(folder)


def kandinsky_2_2_in_two_folders(folder):
    """Save the decoder, and the prior beside it, as they are published."""
    (decoder, prior) = _kandinsky()
    diffusers.KandinskyV22Pipeline(**decoder).save_pretrained(folder)
    diffusers.KandinskyV22PriorPipeline(**prior).save_pretrained(folder.with_name(f"{folder.name}-prior"))


def _kandinsky():
    words, encoder = clip(projected=True, width=32, projection=32)
    eyes = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16,
        patch_size=8, projection_dim=32,
    )  # fmt: skip
    prior = diffusers.PriorTransformer(
        num_layers=1, num_attention_heads=2, attention_head_dim=16, embedding_dim=32, num_embeddings=8
    )
    prior.clip_std.data.fill_(1.0)  # made as 0, which would make every picture's embedding the same
    unet = prompted_unet(
        out_channels=8, addition_embed_type="image", encoder_hid_dim=32, encoder_hid_dim_type="image_proj",
        cross_attention_dim=32, **SCALE_AND_SHIFT,
    )  # fmt: skip
    decoder = {"unet": unet, "scheduler": diffusers.DDPMScheduler(), "movq": quantizer()}
    return decoder, {
        "prior": prior.eval(), "image_encoder": CLIPVisionModelWithProjection(eyes).eval(),
        "text_encoder": encoder, "tokenizer": words,
        "scheduler": diffusers.UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample=True,
            clip_sample_range=10.0,
        ),
        "image_processor": CLIPImageProcessor(size=16, crop_size=16),
    }  # fmt: skip


def deepfloyd_if(folder):
    words, encoder = t5()
    diffusers.IFPipeline(
        tokenizer=words, text_encoder=encoder, unet=_if_unet(in_channels=3), scheduler=_learned_variance(),
        **UNCHECKED,
    ).save_pretrained(folder)  # fmt: skip


def deepfloyd_if_with_stage_2(folder):
    """Save stage I, and the stage that enlarges its pictures beside it."""
    deepfloyd_if(folder)
    words, encoder = t5()
    unet = _if_unet(in_channels=6, sample_size=32, class_embed_type="timestep", time_embedding_dim=32)
    diffusers.IFSuperResolutionPipeline(
        tokenizer=words, text_encoder=encoder, unet=unet, scheduler=_learned_variance(),
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"), **UNCHECKED,
    ).save_pretrained(folder.with_name(f"{folder.name}-stage-2"))  # fmt: skip


UNCHECKED = {
    "safety_checker": None, "feature_extractor": None, "watermarker": None, "requires_safety_checker": False,
}  # fmt: skip


def _if_unet(**others):
    return prompted_unet(**{
        "out_channels": 6, "cross_attention_dim": 32, "encoder_hid_dim": 32, "addition_embed_type": "text",
        "addition_embed_type_num_heads": 2, "cross_attention_norm": "group_norm", "act_fn": "gelu",
        **SCALE_AND_SHIFT, **others,
    })  # fmt: skip


def _learned_variance():
    return diffusers.DDPMScheduler(
        beta_schedule="squaredcos_cap_v2", thresholding=True, dynamic_thresholding_ratio=0.95,
        sample_max_value=1.5, variance_type="learned_range",
    )  # fmt: skip


def stable_cascade(folder):
    from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel

    (words, encoder), (prior_words, prior_encoder) = (
        clip(projected=True, width=16, projection=16) for _ in range(2)
    )
    levels = {
        "block_out_channels": (16, 16), "num_attention_heads": (2, 2), "down_num_layers_per_block": (1, 1),
        "up_num_layers_per_block": (1, 1), "conditioning_dim": 16, "clip_text_pooled_in_channels": 16,
        "timestep_ratio_embedding_dim": 16,
    }  # fmt: skip
    prior = diffusers.StableCascadeUNet(
        in_channels=4, out_channels=4, clip_text_in_channels=16, clip_image_in_channels=16, **levels,
        switch_level=(False,),
    )  # fmt: skip
    decoder = diffusers.StableCascadeUNet(
        in_channels=4,
        out_channels=4,
        effnet_in_channels=4,
        patch_size=2,
        timestep_conditioning_type=("sca",),
        **levels,
    )
    diffusers.StableCascadeCombinedPipeline(
        tokenizer=words, text_encoder=encoder, decoder=decoder.eval(), prior_prior=prior.eval(),
        scheduler=diffusers.DDPMWuerstchenScheduler(), prior_scheduler=diffusers.DDPMWuerstchenScheduler(),
        vqgan=PaellaVQModel(embed_dim=8, levels=2, bottleneck_blocks=1, num_vq_embeddings=8).eval(),
        prior_tokenizer=prior_words, prior_text_encoder=prior_encoder,
    ).save_pretrained(folder)  # fmt: skip
