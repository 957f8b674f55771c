//! The disk alone: how long a flush takes, and what a group-commit log does with nothing in front of it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use crate::log::Log;

/// Appended before each flush, as in every figure of this kind that we have.
const BYTES: usize = 332;
/// A flush that takes longer than a minute counts as a minute.
const LONGEST_MICROS: u64 = 60_000_000;

/// What one flush after the other does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flush {
    pub(crate) per_second: f64,
    pub(crate) p50_micros: u64,
    pub(crate) p99_micros: u64,
}

/// Appends and flushes for the given time.
pub(crate) fn flush(folder: &Path, time: Duration) -> Result<Flush> {
    let path = folder.join("fdatasync");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    let record = [0x5a; BYTES];
    let mut latency = Histogram::<u64>::new_with_max(LONGEST_MICROS, 3)?;
    let begun = Instant::now();
    while begun.elapsed() < time {
        let one = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        latency.saturating_record(u64::try_from(one.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    let elapsed = begun.elapsed();
    std::fs::remove_file(&path)?;
    Ok(Flush {
        per_second: latency.len() as f64 / elapsed.as_secs_f64(),
        p50_micros: latency.value_at_quantile(0.5),
        p99_micros: latency.value_at_quantile(0.99),
    })
}

/// Records a second of a group-commit log with so many writers, no HTTP in front.
pub(crate) fn group_commit(folder: &Path, writers: usize, time: Duration) -> Result<f64> {
    let path = folder.join("group-commit");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let log = Log::create(&path)?;
    let begun = Instant::now();
    let until = begun + time;
    let count = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..writers {
            let log = log.clone();
            tasks.spawn(async move {
                let mut count = 0_u64;
                while Instant::now() < until {
                    log.append().await?;
                    count += 1;
                }
                anyhow::Ok(count)
            });
        }
        let mut total = 0;
        while let Some(count) = tasks.join_next().await {
            total += count??;
        }
        anyhow::Ok(total)
    })?;
    let elapsed = begun.elapsed();
    std::fs::remove_file(&path)?;
    Ok(count as f64 / elapsed.as_secs_f64())
}
