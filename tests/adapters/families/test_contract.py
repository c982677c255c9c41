"""What every family shares: latents by seed alone, batches that change nothing, and what is set aside.

`TestEveryFamily` holds each of them to the contract that a user's own generator is held to; the functions
below it ask what only a pipeline of diffusers can be asked.
"""

from contextlib import ExitStack
from inspect import signature
from itertools import islice

import numpy as np
import pytest
import torch
from families.builders import FAMILIES
from families.examination import generator_of, prompts_of

from memex_audit.batch_size import BatchSize
from memex_audit.errors import ConfigurationError
from memex_audit.generation.diffusers_pipeline import DiffusersGenerator
from memex_audit.generation.drawing_requests import draw_requests
from memex_audit.generation.execution import replace_part
from memex_audit.generation.fingerprints import settings_digest
from memex_audit.generation.model_folder import SamplerSettings
from memex_audit.records import GenerationRequest
from memex_audit.testing import GeneratorContract

pytestmark = [
    # Of diffusers 0.42 itself: schedulers and NumPy 2, Kandinsky's combined pipeline, Chroma's positions.
    pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*callback_steps:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*FluxPosEmbed:FutureWarning"),
]
# Levels of 255. Measured over all families, with 1 to 4 pictures at once: 1 (docs/models.md).
TOLERANCE = 2
NETWORKS = ("unet", "transformer", "prior_prior")


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """Returns a function that gives a family's generator as an audit loads it, loaded once."""
    loaded = {}

    def generator(family):
        if family not in loaded:
            loaded[family] = generator_of(FAMILIES[family](tmp_path_factory.mktemp("family") / "model"))
        return loaded[family]

    return generator


class TestEveryFamily(GeneratorContract):
    tolerance = TOLERANCE

    @pytest.fixture(scope="class", params=FAMILIES)
    @classmethod
    def family(cls, request):
        return request.param

    @pytest.fixture
    def memex_generator(self, family, generators):
        self.prompts = tuple(dict.fromkeys(prompts_of(family, generators(family))))
        return generators(family)

    @pytest.fixture
    def requests(self, memex_generator):
        return tuple(
            GenerationRequest(prompt=prompt, seed=seed) for prompt in self.prompts for seed in (7, 2**62 + 11)
        )


# Sana's smallest autoencoder takes a second a batch.
@pytest.fixture(params=[family for family in FAMILIES if family != "Sana"])
def family(request):
    return request.param


@pytest.fixture
def generator(family, generators):
    return generators(family)


@pytest.fixture
def requests(family, generator):
    prompts = prompts_of(family, generator)
    return [GenerationRequest(prompt=prompts[i % 2], seed=2**40 + i) for i in range(4)]


def networks_of(pipeline):
    return [part for name in NETWORKS if (part := getattr(pipeline, name, None)) is not None]


def first_given(generator, requests):
    """Return what each network is first called with when a batch is drawn: a row of latents a request."""
    given = {}

    def keep(network, args, kwargs):
        called_with = signature(network.forward).bind(*args, **kwargs)
        given.setdefault(network, next(iter(called_with.arguments.values()))[: len(requests)].clone())

    with ExitStack() as stack:
        for network in networks_of(generator.pipeline):
            hook = network.register_forward_pre_hook(keep, with_kwargs=True)
            stack.callback(hook.remove)
        list(generator.generate(requests))
    return list(given.values())


def test_the_first_latent_of_a_request_is_the_same_in_any_order_and_batch(generator, requests):
    together = first_given(generator, requests)
    backwards = first_given(generator, requests[::-1])
    alone = first_given(generator, requests[2:3])
    assert together
    for batch, reversed_batch, single in zip(together, backwards, alone, strict=True):
        assert torch.equal(batch, reversed_batch.flip(0))
        assert torch.equal(batch[2:3], single)
        assert not torch.equal(batch[0], batch[1])


def pixels_of(generations):
    return np.stack([generation.pixels for generation in generations]).astype(int)


def test_out_of_memory_halves_the_batch_and_changes_no_picture(generator, requests):
    """Memory is that of two pictures: a network that is given more rows than they have raises."""
    room = {}

    def measure(network, args, kwargs):
        called_with = signature(network.forward).bind(*args, **kwargs)
        room[network] = max(room.get(network, 0), len(next(iter(called_with.arguments.values()))))

    def refuse(network, args, kwargs):
        called_with = signature(network.forward).bind(*args, **kwargs)
        if len(next(iter(called_with.arguments.values()))) > room[network]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    plain = pixels_of(generator.generate(requests))
    with ExitStack() as stack:
        hooks = [
            n.register_forward_pre_hook(measure, with_kwargs=True) for n in networks_of(generator.pipeline)
        ]
        list(generator.generate(requests[:2]))
        for hook in hooks:
            hook.remove()
        for network in networks_of(generator.pipeline):
            stack.callback(network.register_forward_pre_hook(refuse, with_kwargs=True).remove)
        notes = []
        size = BatchSize(4, notes.append)
        drawn = list(draw_requests(generator, requests, size))
    assert [generation.request for generation in drawn] == requests
    assert size.at_once == 2
    assert len(notes) == 1
    assert np.abs(pixels_of(drawn) - plain).max() <= TOLERANCE


def drawn_with(generator, requests, module, spoil):
    """Draw while the output of a module is spoiled."""

    def hook(_, args, output):
        if isinstance(output, tuple):
            return tuple(spoil(part) if torch.is_tensor(part) else part for part in output)
        if torch.is_tensor(output):
            return spoil(output)
        return type(output)(
            **{name: spoil(value) for name, value in output.items() if torch.is_tensor(value)}
        )

    with ExitStack() as stack:
        stack.callback(module.register_forward_hook(hook).remove)
        return list(draw_requests(generator, requests, BatchSize(4)))


def test_numbers_that_are_none_are_set_aside(generator, requests):
    network = networks_of(generator.pipeline)[0]
    drawn = drawn_with(generator, requests, network, lambda output: output * torch.nan)
    assert [(picture.pixels, picture.reason) for picture in drawn] == [(None, "not finite")] * 4


def test_black_pictures_are_set_aside(generator, requests):
    pipeline = generator.pipeline
    decoders = [getattr(pipeline, name, None) for name in ("vae", "movq", "vqvae")]
    # What a pixel model draws is what its network predicts, clipped.
    module = next((part.decoder for part in decoders if part is not None), networks_of(pipeline)[0])
    drawn = drawn_with(generator, requests, module, lambda output: torch.full_like(output, -1e4))
    assert [(picture.pixels, picture.reason) for picture in drawn] == [(None, "blank")] * 4


def other_settings(pipeline):
    """Return settings other than those of the tiny models, one at a time, where the pipeline takes them."""
    parameters = signature(pipeline.__call__).parameters
    yield {"steps": 3}
    if "guidance_scale" in parameters:
        yield {"guidance": 2.5}
    if "height" in parameters:
        yield {"size": (64, 32)}
    others = getattr(pipeline.scheduler, "compatibles", ())
    names = (other.__name__ for other in others if other is not type(pipeline.scheduler))
    yield from ({"scheduler": name} for name in islice(sorted(names), 1))


def made_with(pipeline, **settings):
    before = pipeline.scheduler
    sampler = SamplerSettings(**{"steps": 2} | settings)
    made = DiffusersGenerator(pipeline, fingerprint="tiny", sampler=sampler)
    replace_part(pipeline, "scheduler", before)
    return settings_digest(dict(made.settings))


def test_every_setting_that_changes_a_picture_is_in_the_digest(generator):
    pipeline = generator.pipeline
    digests = [made_with(pipeline), *(made_with(pipeline, **other) for other in other_settings(pipeline))]
    assert len(set(digests)) == len(digests) >= 2


# Of those that take one: guidance was distilled into them, or is off; a prior cannot draw beside one.
UNREAD = ("FLUX.1-dev", "FLUX.1-schnell", "Latent consistency", "Qwen-Image")
UNREAD += ("Kandinsky 2.2", "Kandinsky 2.2 in two folders")


def test_a_negative_prompt_is_in_the_digest_or_refused(family, generator):
    parameters = signature(generator.pipeline.__call__).parameters
    guided = {"guidance": 3.0} if "guidance_scale" in parameters else {}
    if "negative_prompt" in parameters and family not in UNREAD:
        with_one = made_with(generator.pipeline, negative_prompt="a blurry picture", **guided)
        assert with_one != made_with(generator.pipeline, **guided)
    else:
        with pytest.raises(ConfigurationError, match=r"takes no negative_prompt|must be read by the model"):
            made_with(generator.pipeline, negative_prompt="a blurry picture", **guided)


def test_every_step_is_heard_of_and_changes_nothing(generator, requests):
    plain, heard = pixels_of(generator.generate(requests[:1])), []
    generator.on_step = lambda step, of: heard.append((step, of))
    listened = pixels_of(generator.generate(requests[:1]))
    generator.on_step = None
    assert heard
    assert heard[-1][0] == heard[-1][1]
    assert all(1 <= step <= of for step, of in heard)
    np.testing.assert_array_equal(plain, listened)
