//! A process of `coffre`, from its start to its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::keeper;
use crate::server::binary;

/// How long a clean stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A process that was started; it goes with us.
#[derive(Debug)]
pub struct Process {
    pub pid: u32,
    /// What it writes to standard error.
    pub log: PathBuf,
    /// What it writes to standard output.
    pub out: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts a command, whose output goes into new files of a folder.
    pub fn start(mut command: Command, folder: &Path) -> Self {
        let run = uuid::Uuid::new_v4().simple().to_string();
        let (log, out) = (folder.join(format!("{run}.log")), folder.join(format!("{run}.out")));
        let child = command
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        keeper::started(child.id());
        Self { pid: child.id(), log, out, child: Mutex::new(Some(child)) }
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap();
        let status = child.as_mut().and_then(|child| child.try_wait().unwrap());
        if status.is_some() {
            *child = None;
            keeper::ended(self.pid);
        }
        status
    }

    /// What it wrote so far.
    pub fn said(&self) -> String {
        [&self.out, &self.log].map(|path| fs::read_to_string(path).unwrap_or_default()).concat()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.pid).unwrap()).unwrap(), signal).unwrap();
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
            keeper::ended(self.pid);
        }
    }

    /// Asks it to stop and waits.
    pub fn stop(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                begun.elapsed() < STOP_WITHIN,
                "it has not stopped {STOP_WITHIN:?} after it was asked to:\n{}",
                self.said()
            );
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
