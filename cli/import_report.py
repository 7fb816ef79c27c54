"""What `loupe import` tells of an import."""

from difflib import get_close_matches

from cli.console import err, out
from cli.importing import NAMED_AT_MOST, Import, ImportRequest, Outcome


def as_json(outcome: Outcome) -> dict[str, object]:
    """The document that --json prints."""
    request, prepared, imported = outcome.request, outcome.prepared, outcome.imported
    plan, findings, transfers = prepared.plan, prepared.findings, prepared.transfers
    return {
        "project": request.project,
        "format": request.format.name,
        "task": prepared.config.task,
        "imported": imported is not None,
        "job": imported.job if imported else (prepared.job.job if prepared.job else None),
        "already_imported": prepared.is_done,
        "images": {
            "labeled": len(plan.images),
            "to_import": len(transfers.keys) if not prepared.is_done else 0,
            "in_place": transfers.in_place,
            "to_upload": len(transfers.uploads),
            "to_copy": len(transfers.copies),
            "to_refer_to": len(transfers.referred),
            "being_labeled": transfers.labeling,
            "without_label_in_folder": prepared.unlabeled_files,
        },
        "labels": dict(plan.labels.most_common()),
        "without_label": plan.without_label,
        "new": plan.new,
        "replaced": plan.replaced,
        "same": plan.same,
        "older_than_present": plan.outdated,
        "unknown_labels": dict(plan.unknown_labels.most_common()),
        "left_out": dict(findings.left_out.most_common()),
        "notes": dict(findings.notes.most_common()),
        "faults": [{"file": each.file, "line": each.line, "fault": each.message} for each in findings.faults],
        "fault_count": findings.fault_count,
        "rejected": imported.rejected if imported else {},
    }


def print_outcome(outcome: Outcome) -> None:
    """Tell people: what the import is, what is wrong with it, and what came of it."""
    _print_plan(outcome.request, outcome.prepared)
    _print_faults(outcome.prepared)
    _print_end(outcome)


def _print_plan(request: ImportRequest, prepared: Import) -> None:
    plan, findings, transfers, say = prepared.plan, prepared.findings, prepared.transfers, out().print
    say(f"{request.format.name} of {request.place} for {request.project} ({prepared.config.task}):")
    say(f"  {len(plan.images):,} images with a label that can be used")
    if not prepared.is_done:
        say(
            f"  {plan.new:,} have no label yet, {plan.replaced:,} have another one, which is replaced, "
            f"{plan.same:,} have the same, {plan.outdated:,} have a newer one, which stays"
        )
        say(
            f"  {len(transfers.keys):,} to import: {transfers.in_place:,} lie in the raw-data bucket, "
            f"{len(transfers.uploads):,} to upload, {len(transfers.copies):,} to copy, "
            f"{len(transfers.referred):,} stay in other buckets"
        )
        if transfers.labeling:
            say(f"  {transfers.labeling:,} of them are being labeled by people now; the newer label counts")
        for label, count in plan.labels.most_common():
            say(f"    {label}: {count:,}")
        if plan.without_label:
            say(f"    (none of the labels): {plan.without_label:,}")
    if prepared.unlabeled_files:
        say(f"  {prepared.unlabeled_files:,} images in the folder have no label and are left alone")
    for reason, count in findings.left_out.most_common():
        say(f"  Left out: {reason}: {count:,}")
    for note, count in findings.notes.most_common():
        say(f"  Note: {note}" + (f" ({count:,})" if count > 1 else ""))


def _print_faults(prepared: Import) -> None:
    plan, findings, say = prepared.plan, prepared.findings, err().print
    for label, count in plan.unknown_labels.most_common(NAMED_AT_MOST):
        close = get_close_matches(label, prepared.config.labels, n=1)
        fix = f"--rename '{label}={close[0]}'" if close else "add it to project.yaml, or --rename it"
        say(f"  Unknown label {label!r} of {count:,} images: {fix}")
    for fault in findings.faults:
        say(f"  {fault}")
    if findings.fault_count > len(findings.faults):
        say(f"  ... and {findings.fault_count - len(findings.faults):,} more")


def _print_end(outcome: Outcome) -> None:
    prepared, imported = outcome.prepared, outcome.imported
    say = out().print
    if imported:
        say(f"Imported {imported.images:,} labels as the job {imported.job}.")
        for key, reason in list(imported.rejected.items())[:NAMED_AT_MOST]:
            err().print(f"  Rejected: {key}: {reason}")
        if len(imported.rejected) > NAMED_AT_MOST:
            err().print(f"  ... and {len(imported.rejected) - NAMED_AT_MOST:,} more rejected")
        say(f"Training goes on with them: loupe wait {outcome.request.project} deployed")
    elif prepared.is_done and prepared.job:
        say(f"All of this was imported before, as the job {prepared.job.job}. There is nothing to do.")
    elif not prepared.is_due:
        say("There is nothing to import.")
    elif not outcome.is_blocked:
        again = f"; the import {prepared.job.job} was interrupted and goes on" if prepared.job else ""
        say(f"Nothing was changed. Add --yes to import{again}.")
