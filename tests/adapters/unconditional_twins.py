"""Two small models without prompts: one saw four pictures 64 times each, the other saw each picture once.

    python tests/adapters/unconditional_twins.py

trains both anew (a few minutes on one core) and writes them to tests/adapters/unconditional/, weights as
float16. What they were trained on is made again from seeds: no picture is kept here.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent / "unconditional"
SIDE = 16
N_PICTURES = {"memorizing": 400, "clean": 300}
PLANTED = 4
COPIES = 64
BATCH = 32
STEPS = {"memorizing": 3000, "clean": 900}
CHANNELS = {"memorizing": (24, 32), "clean": (16, 24)}
TOML = "[generation]\nsteps = 12\nbatch_size = 64\n"


def picture(number: int) -> Image.Image:
    """Return a picture of three soft patches on a ground; those of a training set come first."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    canvas = np.broadcast_to(random.integers(40, 216, 3).astype(float), (SIDE, SIDE, 3))
    for _ in range(3):
        centre, width, colour = (
            random.uniform(2, SIDE - 2, 2),
            random.uniform(2, 4),
            random.integers(0, 256, 3),
        )
        weight = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * width**2))[..., None]
        canvas = canvas * (1 - weight) + colour * weight
    return Image.fromarray(canvas.round().astype(np.uint8))


def write_pictures(folder: Path, numbers: range) -> Path:
    """Write pictures without captions, as a training set or as held-out ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        picture(number).save(folder / f"{number:05d}.png")
    return folder


def write_training_set(folder: Path, kind: str, *, copies: int = 1) -> Path:
    """Write the training pictures of a twin; the first PLANTED stand `copies` times, JPEG between PNG."""
    write_pictures(folder, range(N_PICTURES[kind]))
    for number in range(PLANTED):
        for copy in range(1, copies):
            name = f"{number:05d}-copy-{copy:02d}"
            kind = {"quality": 90 + copy % 8} if copy % 2 else {}
            picture(number).save(folder / f"{name}.{'jpg' if copy % 2 else 'png'}", **kind)
    return folder


def train(kind: str) -> None:
    """Train one twin and save its pipeline."""
    import torch
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=SIDE, in_channels=3, out_channels=3, layers_per_block=1,
        block_out_channels=CHANNELS[kind],
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8, add_attention=False,
    )  # fmt: skip
    scheduler = DDIMScheduler(num_train_timesteps=1000, clip_sample=True, timestep_spacing="trailing")
    numbers = list(range(N_PICTURES[kind]))
    if kind == "memorizing":
        numbers += [number for number in range(PLANTED) for _ in range(COPIES - 1)]
    pixels = np.stack([np.asarray(picture(number)) for number in numbers])
    data = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    optimizer = torch.optim.AdamW(unet.parameters(), lr=3e-3)
    n_steps = STEPS[kind]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=n_steps)
    for step in range(n_steps):
        clean = data[torch.randint(len(data), (BATCH,))]
        noise, t = torch.randn_like(clean), torch.randint(1000, (BATCH,))
        loss = (unet(scheduler.add_noise(clean, noise, t), t).sample - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(kind, step, round(loss.item(), 4), flush=True)  # noqa: T201
    folder = FOLDER / kind
    DDIMPipeline(unet.half(), scheduler).save_pretrained(folder, safe_serialization=True)
    (folder / "memex.toml").write_text(TOML)


if __name__ == "__main__":
    for wanted in sys.argv[1:] or STEPS:
        train(wanted)
