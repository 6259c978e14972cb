"""`evaluate`: judge a stored run again, on the data it was trained with or on other data."""

import time
from pathlib import Path

from pipeline import stored_config
from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.data import splits
from pipeline.errors import ExitStatus
from pipeline.reports import run_report
from pipeline.reports.text_tables import table
from pipeline.runs import folder as run_folder
from pipeline.runs import identity, recorder, saved_model
from pipeline.runtime import determinism, devices, environment
from pipeline.spec import spec_from_dict
from pipeline.training import scoring


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Score the model of runs/NAME on the split that config.evaluation names.

    The results go to runs/NAME/evaluations/SPLIT-FINGERPRINT/; what the training wrote stays as it is.
    """
    began = time.monotonic()
    environment.require_lock(config.environment.allow_drift)
    folder = Path(config.run.root) / config.run.name
    result = run_folder.finished(folder)
    spec = spec_from_dict(run_folder.read(folder, "spec.json"))
    record = devices.select(config.device, config.hardware)
    record |= determinism.prepare(config.determinism, config.seed, config.hardware.threads)
    model = saved_model.load(folder / "model.keras")
    part, fingerprint = scoring.rows_of(config, spec, config.evaluation.split)
    scoring.refuse_unknown_categories(config.data, model, part, config.evaluation.split)

    target = folder / "evaluations" / f"{config.evaluation.split}-{fingerprint[:12]}"
    target.mkdir(parents=True, exist_ok=True)
    evaluations = scoring.judge(
        config,
        spec,
        model,
        part,
        lambda: splits.load_split(config.data, "train", spec)[0],
        target / "predictions.csv.gz",
    )
    page = run_report.write(
        target,
        run_report.Report(
            title=f"{folder.name}, {config.evaluation.split} rows",
            command=invocation.command_line,
            status=result["status"],
            seconds=time.monotonic() - began,
            weights_digest=result["weights_digest"],
            spec=spec,
            fingerprint=fingerprint,
            rows={config.evaluation.split: len(part)},
            config=stored_config.to_yaml(config),
            environment=environment.describe() | {"hardware": record},
            summary=(folder / "summary.txt").read_text(),
            parameters=result["parameters"],
            history=[],
            best_epoch=None,
            evaluations=evaluations,
            notes=[
                *identity.notes(run_folder.read(folder, "environment.json")),
                *([] if fingerprint == result["fingerprint"] else ["Other data than it was trained and tested with."]),
            ],
            files={path.name.partition(".")[0]: path.name for path in target.glob("predictions.csv.gz")}
            | {"result": "result.json"},
        ),
    )
    run_folder.write(
        target,
        "result.json",
        {
            "status": run_folder.FINISHED,
            "split": config.evaluation.split,
            "rows": len(part),
            "fingerprint": fingerprint,
            "weights_digest": result["weights_digest"],
            "metrics": scoring.as_json(evaluations),
            "calibration": scoring.calibration_as_json(evaluations),
        },
    )
    with recorder.added(config, folder) as tell:
        judged = run_folder.read(target, "result.json")
        recorder.record_result(tell, config, target, judged, config.evaluation.split)
    print(f"{table(evaluations)}\n\nreport   {page}")
    return ExitStatus.DONE
