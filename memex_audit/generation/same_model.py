"""Whether a generator draws what the store holds of it: once in a process, before it adds to that.

What is loaded from a folder of weights is identified by what the files hold. Any other generator is taken at
its word, and two models that say the same would be audited as one.
"""

from collections.abc import Iterable
from itertools import chain

from memex_audit.batch_size import BatchSize
from memex_audit.errors import GeneratorError, UnitDamaged
from memex_audit.generation.drawing_requests import draw_requests
from memex_audit.generation.store import SAME_PICTURE, UnitStore
from memex_audit.protocols import Generator
from memex_audit.records import Generation


class SameModel:
    """Draws one picture of the store again, and compares.

    Args:
        store: whose pictures they are.
        began: when this process began; what came into the store later is of processes that run beside it,
            most likely of the same model.
    """

    def __init__(self, store: UnitStore, began: float) -> None:
        self._store = store
        self._began = began
        self._unseen: list[Iterable[str]] = []
        self._done = False

    def know(self, prompts: Iterable[str]) -> None:
        """Hear of prompts that may have pictures in the store."""
        if not self._done:
            self._unseen.append(prompts)

    def check(self, generator: Generator) -> None:
        """Compare, if it was not done, a picture of a prompt that is known.

        Raises:
            GeneratorError: it is another picture.
            ModelError: the generator broke off.
        """
        if self._done:
            return
        recorded = self._picture()
        if recorded is None:
            return
        self._done = True
        (drawn,) = draw_requests(generator, [recorded.request], BatchSize(1))
        distance = self._store.distance(recorded, drawn)
        if distance is None or distance > SAME_PICTURE:
            said = "another size" if distance is None else f"{distance:.0f} levels of 255 apart"
            raise GeneratorError(
                f"the generator {type(generator).__name__} must draw again what is in the store, got another "
                f"picture for the same prompt and seed ({said}, {SAME_PICTURE:g} may be rounding). Either it "
                f"is another model that says the same fingerprint, {generator.fingerprint[:80]!r}: give each "
                "a digest of its weights. Or it draws another picture every time: say seeded = False. "
                "Nothing was added to the store."
            )

    def _picture(self) -> Generation | None:
        """Return a picture that was there before this process began."""
        since = self._store.recorded_since
        if since is None or since >= self._began:
            return None
        first = self._store.recorded_prompt
        known, self._unseen = chain.from_iterable(self._unseen), []
        for prompt in known if first is None else chain([first], known):
            try:
                if recorded := self._store.picture_of_others(prompt):
                    return recorded
            except UnitDamaged:  # drawn anew when it is asked for
                continue
        return None
