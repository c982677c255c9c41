"""Result -> properties of a JUnit test suite: what a CI system can read without the JSON."""

from memex_audit.records import AuditResult


def suite_properties(result: AuditResult) -> tuple[tuple[str, str], ...]:
    """Return names and values; neither prompts nor names of training images are among them."""
    known: dict[str, object] = {"memex_verdict": result.verdict.value}
    if provenance := result.provenance:
        known |= {
            "memex_version": provenance.memex_version,
            "memex_model": provenance.model,
            "memex_lora": provenance.lora,
            "memex_model_fingerprint": provenance.model_fingerprint,
            "memex_training_set_fingerprint": provenance.training_set_fingerprint,
        }
    if rate := result.rate:
        known |= {
            "memex_unit": rate.unit.value,
            "memex_groups": rate.groups,
            "memex_extracted_groups": rate.extracted_groups,
            "memex_undecided_groups": rate.undecided_groups,
            "memex_rate": rate.extracted_groups / rate.groups,
            "memex_lower": rate.lower,
            "memex_upper": rate.upper,
            "memex_limit": rate.limit,
            "memex_confidence": rate.confidence,
            "memex_blind_spot": rate.blind_spot,
        }
    return tuple((name, str(value)) for name, value in known.items() if value is not None)
