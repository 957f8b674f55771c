//! The room that is left: in the file system under the SQLite files, or below the limit that was set for a PostgreSQL database.
//!
//! ```text
//!            80 %            90 %              nothing left
//! fine ────────▶ filling ────────▶ nearly full ────────▶ full
//!      ◀────────         ◀────────             ◀────────         each 2 % below
//! ```
//!
//! Each step is told once in the log, stands in `/readyz` (degraded: the process still serves) and can be read as a metric. What happens
//! at the limit is up to the databases: they refuse, calls that must be recorded are refused with the cause, and both go on by themselves
//! once there is room.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coffre_db::dialect;
use coffre_telemetry::{Component, Health, State};
use prometheus::{Gauge, Opts, Registry};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::stores::Stores;

/// How often the file system is looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);
/// After how many looks the databases are measured.
const MEASURED_EVERY: u32 = 12;
/// How far below a step the share falls before the step is left, in per cent.
const HYSTERESIS: f64 = 2.0;
/// As good as nothing: a file system keeps back a little, and a transaction needs more than its rows.
const NOTHING_LEFT: u64 = 1024 * 1024;

const DISK_BYTES: (&str, &str) = ("coffre_disk_bytes", "Size of the file system that holds the SQLite files.");
const DISK_FREE: (&str, &str) =
    ("coffre_disk_free_bytes", "Bytes of that file system that this process may still write.");
const DISK_USED: (&str, &str) =
    ("coffre_disk_used_ratio", "Share of the file system, or of `database_limit_gib`, that is used, from 0 to 1.");
const DATABASE_BYTES: (&str, &str) = ("coffre_database_bytes", "Size of the database, with its indexes.");

/// How full it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    Fine,
    Filling,
    NearlyFull,
    Full,
}

impl Step {
    /// Where each step begins, in per cent.
    const fn begins_at(self) -> f64 {
        match self {
            Self::Fine => 0.0,
            Self::Filling => 80.0,
            Self::NearlyFull => 90.0,
            Self::Full => 100.0,
        }
    }

    fn reached(percent: f64) -> Self {
        [Self::Full, Self::NearlyFull, Self::Filling]
            .into_iter()
            .find(|step| percent >= step.begins_at())
            .unwrap_or(Self::Fine)
    }

    /// The step after a look: up at once, down with hysteresis.
    fn after(self, room: Room) -> Self {
        let percent = if room.free < NOTHING_LEFT { 100.0 } else { room.used_percent().min(99.99) };
        Self::reached(percent).max(self.min(Self::reached(percent + HYSTERESIS)))
    }
}

/// How much there is, and how much is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Room {
    used: u64,
    free: u64,
}

impl Room {
    /// Of the file system under a folder, as `df` counts: what is kept for the administrator is neither used nor free.
    fn under(folder: &Path) -> std::io::Result<Self> {
        let found = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { used: bytes(found.f_blocks.saturating_sub(found.f_bfree)), free: bytes(found.f_bavail) })
    }

    fn below(limit: u64, used: u64) -> Self {
        Self { used, free: limit.saturating_sub(used) }
    }

    #[allow(clippy::cast_precision_loss, reason = "a share in per cent needs no more than a float has")]
    fn used_percent(self) -> f64 {
        let all = self.used.saturating_add(self.free);
        if all == 0 { 100.0 } else { self.used as f64 * 100.0 / all as f64 }
    }
}

/// What is filled, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    Folder(PathBuf),
    Limit,
}

impl Place {
    fn told(&self, step: Step, room: Room) -> String {
        let (percent, free) = (room.used_percent(), in_words(room.free));
        let (what, remedy) = match self {
            Self::Folder(folder) => (
                format!("the file system of {}", folder.display()),
                "free space or enlarge it, or set audit_retention_days",
            ),
            Self::Limit => (
                "database_limit_gib of the database".to_owned(),
                "enlarge its disk and the limit, or set audit_retention_days",
            ),
        };
        match step {
            Step::Full => format!(
                "the disk is full: {what} has {free} left; what must be stored is refused until there is room: {remedy}"
            ),
            _ => format!("the disk is filling: {what} is {percent:.0} % used, {free} left; {remedy}"),
        }
    }
}

fn in_words(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

/// Which step was told last.
struct Teller {
    place: Place,
    step: Step,
}

impl Teller {
    /// Tells a change of the step in the log, and returns what `/readyz` says.
    fn see(&mut self, room: Room) -> State {
        let before = self.step;
        self.step = before.after(room);
        let told = self.place.told(self.step, room);
        if self.step > before {
            match self.step {
                Step::Full | Step::NearlyFull => {
                    tracing::error!(used_percent = room.used_percent(), free_bytes = room.free, "{told}")
                }
                Step::Filling | Step::Fine => {
                    tracing::warn!(used_percent = room.used_percent(), free_bytes = room.free, "{told}")
                }
            }
        } else if self.step < before {
            tracing::info!(
                used_percent = room.used_percent(),
                free_bytes = room.free,
                "there is room on the disk again"
            );
        }
        if self.step == Step::Fine { State::Ready } else { State::Degraded(told) }
    }
}

/// Looks at the room that is left until the stop.
pub(crate) struct Watch {
    stores: Stores,
    folder: Option<PathBuf>,
    limit: Option<u64>,
    teller: Teller,
    component: Component,
    bytes: Gauge,
    free: Gauge,
    used: Gauge,
    databases: Vec<(&'static str, Gauge)>,
}

impl Watch {
    /// Adds its metrics and its part of the health, and looks a first time. `folder` holds the files of SQLite; `limit` is what a database
    /// elsewhere may take.
    pub(crate) fn new(
        stores: &Stores,
        folder: Option<&Path>,
        limit: Option<u64>,
        health: &Health,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let gauge = |(name, help): (&str, &str), service: Option<&str>, wanted: bool| {
            let opts = Opts::new(name, help);
            let gauge = Gauge::with_opts(match service {
                Some(service) => opts.const_label("service", service),
                None => opts,
            })?;
            if wanted {
                registry.register(Box::new(gauge.clone()))?;
            }
            Ok::<_, prometheus::Error>(gauge)
        };
        let of_disk = folder.is_some();
        let databases: Vec<_> = stores
            .all()
            .map(|(service, _)| Ok((service, gauge(DATABASE_BYTES, Some(service), true)?)))
            .collect::<Result<_, prometheus::Error>>()?;
        let place = folder.map_or(Place::Limit, |folder| Place::Folder(folder.to_owned()));
        let mut watch = Self {
            stores: stores.clone(),
            folder: folder.map(Path::to_owned),
            limit,
            teller: Teller { place, step: Step::Fine },
            component: health.component("disk"),
            bytes: gauge(DISK_BYTES, None, of_disk)?,
            free: gauge(DISK_FREE, None, of_disk)?,
            used: gauge(DISK_USED, None, of_disk || limit.is_some())?,
            databases,
        };
        watch.component.set(State::Ready);
        watch.look();
        Ok(watch)
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut tick = interval(LOOKED_AT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for look in 0_u32.. {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => return,
            }
            self.look();
            if look % MEASURED_EVERY == 0 {
                self.measure().await;
            }
        }
    }

    fn look(&mut self) {
        let Some(folder) = &self.folder else { return };
        match Room::under(folder) {
            Ok(room) => {
                self.bytes.set(as_f64(room.used.saturating_add(room.free)));
                self.free.set(as_f64(room.free));
                self.see(room);
            }
            Err(error) => {
                tracing::debug!(%error, folder = %folder.display(), "the file system cannot be asked for its room")
            }
        }
    }

    fn see(&mut self, room: Room) {
        self.used.set(room.used_percent() / 100.0);
        self.component.set(self.teller.see(room));
    }

    /// Measures the databases; one that does not answer keeps its last size.
    async fn measure(&mut self) {
        let mut all = 0_u64;
        for (service, store) in self.stores.all() {
            let gauge = self.databases.iter().find(|(known, _)| *known == service).map(|(_, gauge)| gauge);
            let (Some(gauge), Ok(bytes)) = (gauge, store.database.read(dialect::size_bytes).await) else { return };
            let bytes = u64::try_from(bytes).unwrap_or(0);
            gauge.set(as_f64(bytes));
            all = all.saturating_add(bytes);
        }
        if let (Some(limit), None) = (self.limit, &self.folder) {
            self.see(Room::below(limit, all));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(percent: u64) -> Room {
        Room { used: percent << 30, free: (100 - percent) << 30 }
    }

    fn steps(percents: &[u64]) -> Vec<Step> {
        let mut step = Step::Fine;
        let mut see = |percent: &u64| {
            step = step.after(room(*percent));
            step
        };
        percents.iter().map(&mut see).collect()
    }

    #[test]
    fn steps_are_taken_up_at_once_and_left_a_little_below() {
        use Step::{Filling, Fine, Full, NearlyFull};
        assert_eq!(steps(&[0, 79, 80, 79, 78, 77, 80]), [Fine, Fine, Filling, Filling, Filling, Fine, Filling]);
        assert_eq!(steps(&[90, 89, 88, 87, 90]), [NearlyFull, NearlyFull, NearlyFull, Filling, NearlyFull]);
        assert_eq!(steps(&[100, 99, 98, 97, 5]), [Full, Full, Full, NearlyFull, Fine]);
        assert_eq!(Fine.after(Room { used: 1 << 50, free: 4096 }), Full, "a rest that nothing fits into");
    }

    #[test]
    fn what_is_told_names_the_place_the_cause_and_what_to_do() {
        let mut teller = Teller { place: Place::Folder("/var/lib/coffre".into()), step: Step::Fine };
        assert_eq!(teller.see(room(50)), State::Ready);
        let State::Degraded(filling) = teller.see(room(83)) else { panic!("ready") };
        assert!(filling.contains("/var/lib/coffre is 83 % used, 17 GiB left"), "{filling}");
        assert!(filling.contains("audit_retention_days"), "{filling}");
        let State::Degraded(full) = teller.see(room(100)) else { panic!("ready") };
        assert!(full.starts_with("the disk is full") && full.contains("until there is room"), "{full}");
        assert_eq!(teller.see(room(10)), State::Ready);
        let told = Place::Limit.told(Step::NearlyFull, Room::below(100 << 30, 95 << 30));
        assert!(told.contains("database_limit_gib") && told.contains("95 % used, 5 GiB left"), "{told}");
    }

    #[test]
    fn a_limit_that_is_exceeded_is_full() {
        assert_eq!(Step::Fine.after(Room::below(10 << 30, 11 << 30)), Step::Full);
        assert_eq!(Step::Fine.after(Room::below(10 << 30, 0)), Step::Fine);
    }

    #[test]
    fn the_file_system_of_a_folder_is_measured() {
        let folder = tempfile::tempdir().expect("a folder");
        let room = Room::under(folder.path()).expect("room");
        assert!(room.free > 0 && room.used_percent() < 100.0);
        assert!(Room::under(&folder.path().join("nowhere")).is_err());
    }

    #[test]
    fn the_page_has_a_line_for_each() {
        let page = include_str!("../../../docs/metrics.md");
        for (name, help) in [DISK_BYTES, DISK_FREE, DISK_USED, DATABASE_BYTES] {
            let line = |line: &str| line.starts_with(&format!("| `{name}` |")) && line.contains(help);
            assert!(page.lines().any(line), "docs/metrics.md lacks {name}: {help}");
        }
    }
}
