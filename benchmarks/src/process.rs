//! What the kernel says about processes: CPU time, resident memory, who is whose child.

use std::fs;
use std::time::Duration;

/// `/proc` counts CPU time in hundredths of a second on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// User and system time of a process with all its threads; zero once it is gone.
pub(crate) fn cpu(pid: u32) -> Duration {
    ticks(&format!("/proc/{pid}/stat"))
}

/// The sum over several processes.
pub(crate) fn cpu_of_all(pids: &[u32]) -> Duration {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// User and system time of the calling thread.
pub(crate) fn own_thread_cpu() -> Duration {
    ticks("/proc/thread-self/stat")
}

fn ticks(path: &str) -> Duration {
    let text = fs::read_to_string(path).unwrap_or_default();
    let ticks: u64 = after_name(&text).skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// The fields of `stat` after the name, which may hold spaces and brackets: state, parent, …
fn after_name(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace()
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_ascii_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// Every process: number, parent, name.
pub(crate) fn all() -> Vec<(u32, u32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let name = stat.split_once('(')?.1.rsplit_once(')')?.0.to_owned();
            let parent = after_name(&stat).nth(1)?.parse().ok()?;
            Some((pid, parent, name))
        })
        .collect()
}

/// The processes of this name among the children of this program, and their children.
pub(crate) fn descendants(name: &str) -> Vec<u32> {
    let all = all();
    let mut family = vec![std::process::id()];
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        for (pid, _, called) in all.iter().filter(|(_, of, _)| *of == parent) {
            family.push(*pid);
            if called == name {
                found.push(*pid);
            }
        }
        at += 1;
    }
    found
}

/// The machine in one line.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|rest| rest.split_once(": "))
        .map_or("unknown CPU", |(_, name)| name);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {model}, {} GiB, Linux {}", kib / (1024 * 1024), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let stat = "12 (a ) b) S 7 1 1 0 -1 0 0 0 0 0 150 50 0 0";
        let fields: Vec<_> = after_name(stat).collect();
        assert_eq!((fields[0], fields[1], fields[11], fields[12]), ("S", "7", "150", "50"));
    }

    #[test]
    fn we_see_ourselves() {
        assert!(resident_kib(std::process::id()) > 0);
        assert!(all().iter().any(|(pid, _, _)| *pid == std::process::id()));
    }
}
