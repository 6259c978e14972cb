"""One process that writes a run and has it carried into the registry, as training does: URL ROOT NAME EPOCHS."""

import sys
from pathlib import Path

from written_runs import beginning

from pipeline.registry import store
from pipeline.registry.background_ingestion import BackgroundIngestion
from pipeline.registry.journal import FILE_NAME, Event, RunJournal
from pipeline.registry.options import Registry

url, root, name, epochs = sys.argv[1:]
config = Registry(url=None if url == "null" else url, patience=300)
folder = Path(root) / name
folder.mkdir()
journal = RunJournal(folder / FILE_NAME)
if config.url:
    store.upgrade_schema(
        store.create_engine(config, root)
    )  # a job makes no tables on a server; here all of them try at once
ingestion = BackgroundIngestion(config, root, journal)
journal.add(Event.BEGIN, **beginning(folder, command=name))
for epoch in range(1, int(epochs) + 1):
    journal.add(Event.EPOCH, epoch=epoch, metrics={"loss": float(epoch), name: 0.5})
    ingestion.notify()
journal.add(Event.END, status="finished", epochs=int(epochs))
ingestion.close()
