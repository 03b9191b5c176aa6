"""JSON Schema of a certificate, as far as this program reads it: one from a stranger may hold anything."""

from collections.abc import Iterator, Mapping
from typing import Any

from objectives.cost import BYTES
from objectives.errors import ObjectiveError
from objectives.recordings import RecordingTable

TEXT, FLAG = {"type": "string"}, {"type": "boolean"}
NUMBER = {"type": "number", "minimum": -1e300, "maximum": 1e300}  # an integer may be too large for a float
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
COUNT = {"type": "integer", "minimum": 0, "maximum": 10**15}
TEXTS = {"type": "array", "items": TEXT}
_MAX_MESSAGE = 200  # letters


def table(of: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that maps names to values of one kind."""
    return {"type": "object", "additionalProperties": dict(of)}


def record(
    *, is_closed: bool = False, optional: Mapping[str, Any] | None = None, **properties: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the schema of an object that has all of these properties, perhaps the optional ones, and others."""
    described = {"type": "object", "required": list(properties), "properties": {**properties, **(optional or {})}}
    return {**described, "additionalProperties": False} if is_closed else described


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a value or null."""
    return {"anyOf": [{"type": "null"}, dict(schema)]}


ERROR = {"recordings": COUNT, "error": {**NUMBER, "minimum": 0}, "freedom": {**NUMBER, "minimum": 1}}
SCORES = table(record(is_closed=True, optional=ERROR, clips={**COUNT, "minimum": 1}, accuracy=SHARE, log_loss=NUMBER))
COUNTS = {"type": "array", "items": COUNT}
RECORDINGS = record(
    is_closed=True, label=COUNTS, clips=COUNTS, correct=COUNTS, loss={"type": "array", "items": NUMBER},
    unseen_clips=COUNTS, unseen_correct=COUNTS, worst_clips=COUNTS, worst_correct=COUNTS,
)  # fmt: skip
QUALITY = record(
    is_closed=True, optional={"recordings": RECORDINGS},
    macro_accuracy=SHARE, accuracy=SHARE, log_loss=NUMBER, classes=TEXTS, by_class=SCORES,
    by_device=SCORES, by_group=SCORES,
    confusion={"type": "array", "items": {"type": "array", "items": COUNT}},
)  # fmt: skip
MEASURED: dict[str, Any] = {"fits": FLAG, "measured": table(COUNT), "violations": TEXTS}
VERDICT = record(limits=table(COUNT), file=TEXT, files=table(record(**MEASURED, precision=TEXT)), **MEASURED)
LAYER = record(name=TEXT, kind=TEXT, output_shape={"type": "array", "items": COUNT}, params=COUNT, macs=COUNT)
COST = record(
    macs=COUNT, params=COUNT, stored_values=COUNT, peak_bytes=COUNT, precision={"enum": list(BYTES)},
    nonzero_values=COUNT, size_bytes=COUNT, nonzero_bytes=COUNT, fvcore_macs=COUNT, limits=table(COUNT),
    layers={"type": "array", "items": LAYER},
)  # fmt: skip
INTERVALS = table(record(mean=nullable(NUMBER), half=nullable(NUMBER)))
CONFIRMED = record(
    study=TEXT, seeds={"type": "array", "items": COUNT}, confidence=SHARE, p_front=nullable(SHARE),
    mean={**table(nullable(NUMBER)), "properties": {"macro_accuracy": NUMBER, "log_loss": NUMBER}},
    half=table(nullable(NUMBER)), by_class=INTERVALS, by_device=INTERVALS, by_group=INTERVALS,
)  # fmt: skip
DATA = record(
    folder=TEXT, classes=TEXTS, devices=TEXTS, split=TEXT, training_clips=COUNT, validation_clips=COUNT,
    evaluation_clips=COUNT, lists_sha256=TEXT, evaluation_sha256=TEXT, device_groups=table(TEXT), license_files=TEXTS,
)  # fmt: skip
CERTIFICATE_SCHEMA = record(
    written=TEXT, study=TEXT, trial=COUNT, on_front=FLAG, architecture=TEXT, cost=COST, editions=table(VERDICT),
    budget={"allOf": [VERDICT, record(name=TEXT)]}, quality=table(QUALITY), validation=nullable(QUALITY),
    selected_on=nullable(TEXT), confirmed=nullable(CONFIRMED), data=DATA, versions=table(TEXT), seed=COUNT,
    files=table(record(bytes=COUNT, sha256=TEXT)), notes=TEXTS,
)  # fmt: skip


def certificate_fault(certificate: Mapping[str, Any], network: str) -> str | None:
    """Return what is wrong with the fields of a certificate; None where they have their types and fit together.

    Args:
        network: Name of the weights file, which every export has.
    """
    from jsonschema import Draft202012Validator  # noqa: PLC0415  its import takes a tenth of a second
    from jsonschema.exceptions import best_match  # noqa: PLC0415  as above

    error = best_match(Draft202012Validator(CERTIFICATE_SCHEMA).iter_errors(certificate))
    if error is None:
        return next(_inconsistencies(certificate, network), None)
    message = str(error.message).replace("is a required property", "is missing")
    message = message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]}..."
    return ": ".join(filter(None, [".".join(map(str, error.absolute_path)), message]))


def _inconsistencies(certificate: Mapping[str, Any], network: str) -> Iterator[str]:
    """Yield what does not fit together in a certificate whose fields have their types."""
    cost, data, confirmed = (certificate[name] for name in ("cost", "data", "confirmed"))
    if cost["nonzero_values"] > cost["stored_values"]:
        yield "cost: more nonzero_values than stored_values"
    for name, verdict in {**certificate["editions"], "budget": certificate["budget"]}.items():
        limited = [verdict["measured"], *(found["measured"] for found in verdict["files"].values())]
        if verdict["file"] not in verdict["files"] or any(set(verdict["limits"]) - set(each) for each in limited):
            yield f"{name}: the selected file, or a measured value of a limit is missing"
    if confirmed is not None and set(confirmed["mean"]) - set(confirmed["half"]):
        yield "confirmed.half: lacks a name of confirmed.mean"
    if set(data["devices"]) - set(data["device_groups"]):
        yield "data.device_groups: lacks a device"
    qualities = certificate["quality"]
    if network not in qualities:
        yield f"quality: lacks {network}"
        return
    for name, found in qualities.items():
        if any(set(found[each]) != set(qualities[network][each]) for each in ("by_class", "by_device", "by_group")):
            yield f"quality.{name}: other scenes, devices or groups than those of {network}"
        yield from _quality_faults(f"quality.{name}", found, data)
    if certificate["validation"] is not None:
        yield from _quality_faults("validation", certificate["validation"], data)


def _quality_faults(place: str, quality: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    classes, confusion = data["classes"], quality["confusion"]
    if quality["classes"] != classes:
        yield f"{place}: other classes than those of the data"
    if len(confusion) != len(classes) or any(len(row) != len(classes) for row in confusion):
        yield f"{place}: the confusion matrix is not {len(classes)} x {len(classes)}"
    if "recordings" in quality:
        yield from _recording_faults(place, quality["recordings"], len(classes))
    for name, known in (("by_class", classes), ("by_device", data["device_groups"])):
        if not quality[name] or set(quality[name]) - set(known):
            yield f"{place}: {name} is empty or has other names than those of the data"


def _recording_faults(place: str, plain: Mapping[str, Any], num_classes: int) -> Iterator[str]:
    try:
        found = RecordingTable.from_dict(plain)
    except ObjectiveError as error:
        yield f"{place}.recordings: {error}"
        return
    if not found.label or max(found.label) >= num_classes:
        yield f"{place}.recordings: there are none, or of an unknown class"
