//! The bare group-commit log: one thread appends what has come together, flushes once, and answers everybody. It is what a durable write
//! costs with nothing around it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

/// Bytes of one record: about what a write of a 64-byte value puts into Coffre's own log, the sealed value and its audit entry.
pub(crate) const RECORD_BYTES: usize = 1024;
/// Most records in one commit.
const MOST: usize = 256;

/// A handle; clones append to the same file.
#[derive(Clone)]
pub(crate) struct Log {
    queue: Sender<oneshot::Sender<()>>,
}

impl Log {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let (queue, waiting) = channel();
        thread::Builder::new().name("log".to_owned()).spawn(move || write(file, &waiting))?;
        Ok(Self { queue })
    }

    /// Returns once a record is durable.
    pub(crate) async fn append(&self) -> Result<()> {
        let (done, durable) = oneshot::channel();
        self.queue.send(done).ok().context("the log has ended")?;
        durable.await.context("the record was not written")
    }
}

/// Ends when the file fails or nobody can append any more; those who wait then see it.
fn write(mut file: std::fs::File, waiting: &Receiver<oneshot::Sender<()>>) {
    let records = vec![0x5a; RECORD_BYTES * MOST];
    let mut batch = Vec::with_capacity(MOST);
    while let Ok(first) = waiting.recv() {
        batch.push(first);
        batch.extend(waiting.try_iter().take(MOST - 1));
        let bytes = records.get(..RECORD_BYTES * batch.len()).unwrap_or(&records);
        if file.write_all(bytes).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        for done in batch.drain(..) {
            // Who no longer waits does not need to know.
            let _ = done.send(());
        }
    }
}
