//! A primary and a standby that has every commit before its caller hears of it; a primary that dies, a standby that takes its place.

use std::process::Command;

use super::PostgresServer;

/// Nobody is told that a transaction is committed before a standby has it.
const PRIMARY: &[&str] =
    &["fsync=off", "max_connections=300", "shared_buffers=32MB", "lc_messages=C", "synchronous_standby_names=*"];
const STANDBY: &[&str] = &["fsync=off", "max_connections=300", "shared_buffers=32MB", "lc_messages=C"];

impl PostgresServer {
    /// Starts a primary and its synchronous standby.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn with_synchronous_standby() -> (Self, Self) {
        let primary = Self::with_settings(PRIMARY);
        let standby = Self::place(STANDBY);
        let mut copy = standby.command(standby.bin.join("pg_basebackup"));
        copy.args(["--host=127.0.0.1", "--username=coffre", "--checkpoint=fast", "--no-sync"]);
        copy.args(["--write-recovery-conf", "--wal-method=stream"]);
        copy.arg(format!("--port={}", primary.port)).arg("--pgdata").arg(standby.data());
        let copied = copy.output().expect("pg_basebackup starts");
        assert!(copied.status.success(), "pg_basebackup failed: {}", String::from_utf8_lossy(&copied.stderr));
        standby.resume();
        (primary, standby)
    }

    /// Returns the address of two servers, of which the one that takes changes is meant.
    #[must_use]
    pub fn url_with(&self, other: &Self) -> String {
        let (one, two) = (self.port, other.port);
        format!("postgres://coffre@127.0.0.1:{one},127.0.0.1:{two}/postgres?target_session_attrs=read-write")
    }

    /// Ends all its processes by SIGKILL: none of them says or writes another word.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&self) {
        let state = std::fs::read_to_string(self.state_file()).expect("it runs");
        let postmaster = state.lines().next().expect("the first line is its process").trim().to_owned();
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name in brackets: the state, the parent.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            (parent == postmaster).then(|| entry.file_name())
        });
        let children: Vec<_> = processes.collect();
        // Those that ended by themselves meanwhile are no failure.
        let _ = Command::new("kill").arg("-KILL").arg(&postmaster).args(children).output().expect("kill starts");
        self.crash();
    }

    /// Makes a standby a primary, and waits until it is.
    ///
    /// # Panics
    /// Where it does not become one.
    pub fn promote(&self) {
        let mut promote = self.command(self.bin.join("pg_ctl"));
        let told = promote.args(["promote", "--wait", "--pgdata"]).arg(self.data()).output().expect("pg_ctl starts");
        assert!(told.status.success(), "pg_ctl promote failed: {}", String::from_utf8_lossy(&told.stdout));
    }
}
