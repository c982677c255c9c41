"""Which run of an audit this is, by the ledger of its store -> the confidence that its rate is bounded at."""

from dataclasses import replace

from memex_audit.audit import Audit
from memex_audit.errors import LedgerError
from memex_audit.ledger import Ledger
from memex_audit.rates.attempts import attempt_of
from memex_audit.records import Rate, Unit
from memex_audit.workbench import Workbench


def rate_of_attempt(audit: Audit, bench: Workbench, *, limit: float, confidence: float) -> Rate:
    """Return the rate of the whole audit set, at the part of the confidence that this run may spend.

    A census of training images has no error to spend.
    """
    number = number_of_attempt(bench)
    rate = audit.rate(limit=limit, confidence=attempt_of(number, confidence).confidence)
    if rate.unit is Unit.TRAINING_IMAGE:
        return replace(rate, confidence=confidence)
    return replace(rate, attempt=number, overall_confidence=confidence)


def number_of_attempt(bench: Workbench) -> int:
    """Count this run among those of the same model and sampler settings, from 1.

    A run that repeats the prompts and the seed of an earlier one sees what that saw, and has its number. A
    ledger that cannot be read is as good as none, and said.
    """
    provenance = bench.provenance()
    assert provenance.prompt_set is not None
    try:
        draws = Ledger(bench.store_folder).draws(provenance.model_fingerprint, provenance.settings)
    except LedgerError as error:
        bench.notes.append(f"it is not known whether this audit was run before: {error}")
        return 1
    mine = (provenance.settings_digest, provenance.prompt_set)
    return draws.index(mine) + 1 if mine in draws else len(draws) + 1
