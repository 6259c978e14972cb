"""Write the journal of a run and ingest it in the background, as training does. Arguments: URL ROOT NAME EPOCHS."""

import sys
from pathlib import Path

from written_runs import begin_content

from pipeline.registry import store
from pipeline.registry.background_ingestion import BackgroundIngestion
from pipeline.registry.journal import FILE_NAME, Event, RunJournal
from pipeline.registry.options import Registry

url, root, name, epochs = sys.argv[1:]
options = Registry(url=None if url == "null" else url, patience=300)
folder = Path(root) / name
folder.mkdir()
journal = RunJournal(folder / FILE_NAME)
if options.url:
    # a run creates no tables on a server; here all processes do, at the same time
    store.upgrade_schema(store.create_engine(options, root))
ingestion = BackgroundIngestion(options, root, journal)
journal.add(Event.BEGIN, **begin_content(folder, command=name))
for epoch in range(1, int(epochs) + 1):
    journal.add(Event.EPOCH, epoch=epoch, metrics={"loss": float(epoch), name: 0.5})
    ingestion.notify()
journal.add(Event.END, status="finished", epochs=int(epochs))
ingestion.close()
