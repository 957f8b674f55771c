//! Ends what the tests leave behind. The test harness ends without running any destructor of ours, so a shell that holds the other
//! end of a pipe waits for our end, however it comes, then kills the processes and removes the folders that it was told of.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};

const SCRIPT: &str = r#"
pids=' '; folders=
while read -r verb argument; do
    case $verb in
        started) pids="$pids$argument " ;;
        ended) case $pids in *" $argument "*) pids="${pids%% $argument *} ${pids#* $argument }" ;; esac ;;
        folder) folders="$folders $argument" ;;
    esac
done
[ "$pids" = ' ' ] || kill -9 $pids 2>/dev/null
sleep 0.1
[ -z "$folders" ] || rm -rf $folders
"#;

static KEEPER: LazyLock<Mutex<Child>> = LazyLock::new(|| {
    let shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Mutex::new(shell.expect("the tests need a POSIX shell"))
});

fn tell(line: &str) {
    let mut keeper = KEEPER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(input) = keeper.stdin.as_mut() {
        writeln!(input, "{line}").expect("the keeper has ended");
    }
}

/// A process of ours has started.
pub fn started(pid: u32) {
    tell(&format!("started {pid}"));
}

/// A process of ours has ended and was waited for.
pub fn ended(pid: u32) {
    tell(&format!("ended {pid}"));
}

/// A folder is to go with us.
pub fn folder(path: &Path) {
    let path = path.to_str().expect("temporary folders have plain names");
    assert!(!path.contains(char::is_whitespace), "the keeper takes no path with spaces: {path}");
    tell(&format!("folder {path}"));
}
