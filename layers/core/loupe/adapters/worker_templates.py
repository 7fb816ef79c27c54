"""The pages that workers of Ground Truth see. They are data here: Ground Truth fills them in."""

from importlib.resources import files


def worker_template(name: str) -> str:
    """The page of that name, with `$header` and `$instructions` where a job's own words belong."""
    return (files("loupe") / "worker_templates" / f"{name}.liquid").read_text(encoding="utf-8")
