"""One process that writes a run and has it carried into the registry, as training does: URL ROOT NAME EPOCHS."""

import sys
from pathlib import Path

from written_runs import beginning

from pipeline.registry import store
from pipeline.registry.courier import Courier
from pipeline.registry.journal import BEGIN, END, EPOCH, NAME, Journal
from pipeline.registry.options import Registry

url, root, name, epochs = sys.argv[1:]
config = Registry(url=None if url == "null" else url, patience=300)
folder = Path(root) / name
folder.mkdir()
journal = Journal(folder / NAME)
if config.url:
    store.upgrade(store.connect(config, root))  # a job makes no tables on a server; here all of them try at once
courier = Courier(config, root, journal)
journal.add(BEGIN, **beginning(folder, command=name))
for epoch in range(1, int(epochs) + 1):
    journal.add(EPOCH, epoch=epoch, metrics={"loss": float(epoch), name: 0.5})
    courier.tell()
journal.add(END, status="finished", epochs=int(epochs))
courier.close()
