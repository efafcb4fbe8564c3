"""Run folders without a training."""

from corrlight.runs.folder import RunFolder


def make_run(
    runs, name, identity, *, seed=0, status="finished", ap=0.25, epochs=2, weight=0.2, images=6
):
    folder = RunFolder(runs / name / identity)
    folder.create()
    folder.write_yaml(
        "config.yaml",
        {"seed": seed, "corr": {"coefficient": "concordance", "weight": weight}, "name": None},
    )
    folder.write_yaml("overrides.yaml", [f"seed={seed}", "corr=concordance"])
    folder.write_json("environment.json", {"status": status, "seed": seed, "wall_seconds": 80.0})
    folder.write_csv("metrics.csv", [{"epoch": k} for k in range(epochs)])
    if status == "finished":
        folder.write_json("metrics.json", {"AP": ap, "AP50": 0.5, "num_images": images})
    return folder


def some_runs(runs):
    """Make two finished runs, a stopped one, and one that ended without a word."""
    make_run(runs, "a", "0123456789ab")
    make_run(runs, "a", "1123456789ab", seed=1, ap=0.3, weight=0.3, images=8)
    make_run(runs, "b", "2123456789ab", status="stopped", epochs=1)
    make_run(runs, "b", "3123456789ab", status="running")
    (runs / ".sweeps" / "sweep-0").mkdir(parents=True)
    return runs
