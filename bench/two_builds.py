"""Two builds of this program in turn, job by job (old, new, old, new, ...): is the new one slower?

Each line: the job, the old median, the new median, and the median of the ratios new / old of the pairs (above 1: the new build is
faster), with the lowest and the highest ratio. A build folder holds `etrlrec` and `etrlrec_speed`."""
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

# (name, arguments of etrlrec_speed, key of its JSON line, whether lower is better)
JOBS = [(f"{job} {shape} {storage}{' batch ' + str(batch) if batch else ''}", [job, shape, storage, *([batch] if batch else [])], key, lower)
        for shape in ("XS", "S")
        for job, batch, key, lower in (
            ("decode", 0, "decode_tok_s", False), ("decode", 32, "prefill_tok_s", False), ("rollouts", 0, "decode_tok_s", False),
            ("rank", 0, "prompts_per_s", False), ("sft", 0, "rows_per_s", False), ("grpo", 0, "step_s", True))
        for storage in ("bfloat16", "float32", "int8")
        if (storage != "int8" or job == "decode") and (shape == "XS" or (storage != "float32" and job in ("decode", "rollouts", "sft")))]


def speed(build, arguments):
    done = subprocess.run([str(build / "etrlrec_speed"), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{build}: etrlrec_speed {' '.join(map(str, arguments))} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def pairs(name, measure, lower, builds, turns):
    """`measure(build) -> number`; the order of the two changes from turn to turn."""
    values = {build: [] for build in builds}
    for turn in range(turns):
        for build in builds if turn % 2 == 0 else reversed(builds):
            values[build].append(measure(build))
    old, new = (values[build] for build in builds)
    ratios = [(a / b if lower else b / a) for a, b in zip(old, new)]
    print(f"{name:<44} {statistics.median(old):>10.2f} {statistics.median(new):>10.2f} {statistics.median(ratios):>7.3f} "
          f"({min(ratios):.3f} to {max(ratios):.3f})", flush=True)


def stages(builds, turns, scratch):
    """Rates of the stages on a small world, each build on files of its own making."""
    from bench import rate_of_stage, small_world_inputs

    folders = {}
    for build in builds:
        folders[build] = scratch / str(builds.index(build))
        small_world_inputs(build / "etrlrec", folders[build])
    for stage in ("fit", "distill", "reinforce"):
        pairs(f"{stage} (small world), rate", lambda build: rate_of_stage(build / "etrlrec", folders[build], stage), False, builds, turns)


def run(options):
    builds = [options.against.resolve(), Path(__file__).resolve().parent.parent / "build"]
    for build in builds:
        for program in ("etrlrec", "etrlrec_speed"):
            if not os.access(build / program, os.X_OK):
                raise SystemExit(f"--against: {build}: expected the program {program}\nhint: ninja -C {build} etrlrec etrlrec_speed")
    print(f"{'job':<44} {'old':>10} {'new':>10} {'ratio':>7}")
    wanted = options.jobs.split(",") if options.jobs else []
    with tempfile.TemporaryDirectory() as name:
        if not wanted or "stages" in wanted:
            stages(builds, options.turns, Path(name))
    for name, arguments, key, lower in JOBS:
        if not wanted or arguments[0] in wanted:
            pairs(f"{name}, {key}", lambda build: speed(build, arguments)[key], lower, builds, options.turns)
