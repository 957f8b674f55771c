//! `cargo xtask deploy root`: what the container file copies, and the libraries that its base image has (from Debian's packages), in an empty
//! root folder; and the program there, as its user, with a root folder that nobody can write to. No container engine is needed, only root.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::{find_program, is_program, is_root, step, succeed};
use crate::workspace::Workspace;

const CONTAINERFILE: &str = "deploy/container/Containerfile";
/// What distroless `cc-debian13` is made of.
const PACKAGES: [&str; 12] = [
    "base-files",
    "netbase",
    "tzdata",
    "media-types",
    "libc6",
    "libssl3t64",
    "libzstd1",
    "zlib1g",
    "libgcc-s1",
    "libgomp1",
    "libstdc++6",
    "gcc-14-base",
];
const SUITE: &str = "trixie";
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const USER: u32 = 65532;

/// What the last stage of the container file does.
#[derive(Debug, PartialEq)]
pub(super) struct Image {
    /// What is copied: from where in the building stage, to where.
    copies: Vec<(String, String)>,
    pub(super) environment: Vec<(String, String)>,
    folder: String,
    pub(super) user: String,
    pub(super) program: String,
}

/// Run within namespaces of its own. `$1` is the root folder, `$2` its user, `$3` the program, `$4` the working folder; the environment is the
/// image's. It gets what a container engine would give: /proc, a few devices, a volume for the data and the keys.
const RUN: &str = r#"
set -eu
root=$1; user=$2; program=$3; folder=$4
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o size=64k,mode=0755 tmpfs "$root/dev"
for device in null zero random urandom; do : >"$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mount -t tmpfs -o "size=256m,mode=0700,uid=${user%:*},gid=${user#*:}" tmpfs "$root$folder"
mount -t tmpfs -o "size=1m,mode=0700,uid=${user%:*},gid=${user#*:}" tmpfs "$root/etc/coffre/keys"
mount -o remount,bind,ro "$root"
inside() { setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid --inh-caps=-all chroot --userspec="$user" --groups= "$root" "$program" "$@"; }
cd /

inside --version
echo "--- nothing but the volumes can be written"
if inside dev --data-dir /elsewhere 2>"$root$folder/refused"; then echo "the root folder was written to" >&2; exit 1; fi
grep -qi "read-only" "$root$folder/refused" || { cat "$root$folder/refused" >&2; exit 1; }
echo "--- coffre init"
inside init --recovery-key-out "$folder/recovery" >/dev/null
echo "--- coffre serve all"
inside serve all 2>"$root$folder/log" & serving=$!
ready=
for _ in $(seq 150); do
    if inside healthcheck >/dev/null 2>&1; then ready=1; break; fi
    kill -0 "$serving" 2>/dev/null || break
    sleep 0.2
done
if [ -z "$ready" ]; then echo "it was not ready; its log:" >&2; cat "$root$folder/log" >&2; exit 1; fi
inside healthcheck
# The one process of that user.
for process in "$root"/proc/[0-9]*; do
    if [ "$(tr '\0' ' ' 2>/dev/null <"$process/cmdline")" = "$program serve all " ]; then found=${process##*/}; fi
done
grep -E '^(Uid|Gid|Groups|CapEff|CapBnd|NoNewPrivs):' "$root/proc/$found/status"
grep -q "^Uid:.${user%:*}.${user%:*}.${user%:*}.${user%:*}$" "$root/proc/$found/status"
grep -q '^CapEff:.0000000000000000$' "$root/proc/$found/status"
echo "--- SIGTERM"
kill -TERM "$found"
wait "$serving"
echo "it ended with 0"
"#;

/// Puts the folder together and runs the program in it.
pub(super) fn run(workspace: &Workspace, binary: &Path) -> Result<ExitCode> {
    let (image, root) = prepare(workspace, binary)?;
    step("running the program there", || execute(&image, &root))?;
    println!("the program runs on what its image has, as {}, and writes nothing but its volumes", image.user);
    Ok(ExitCode::SUCCESS)
}

/// Puts the folder together.
pub(super) fn prepare(workspace: &Workspace, binary: &Path) -> Result<(Image, PathBuf)> {
    if !is_program(binary) {
        bail!(
            "{} is no program: build it (`cargo build --package coffre`), or name one with --binary",
            binary.display()
        );
    }
    if !is_root()? {
        bail!("mounting and changing the root folder need root: run this with sudo, or in a virtual machine");
    }
    for program in ["apt-get", "dpkg-deb", "unshare", "setpriv", "chroot"] {
        find_program(program).with_context(|| format!("this needs {program}, which is not here"))?;
    }
    let image = Image::read(&fs::read_to_string(workspace.root.join(CONTAINERFILE))?).context(CONTAINERFILE)?;
    let packages = step("fetching the packages of the base image from Debian", || fetch(workspace))?;
    let root = workspace.tools().join("root");
    step("putting the root folder together", || assemble(&image, &packages, binary, &root))?;
    Ok((image, root))
}

impl Image {
    fn read(containerfile: &str) -> Result<Self> {
        let last = containerfile.rsplit("\nFROM ").next().unwrap_or_default();
        let of = |word: &str| {
            let prefix = format!("{word} ");
            last.lines().filter_map(|line| line.strip_prefix(prefix.as_str()).map(str::to_owned)).collect::<Vec<_>>()
        };
        let one = |word: &str| of(word).pop().with_context(|| format!("the last stage has no {word}"));
        let mut copies = Vec::new();
        for copy in of("COPY") {
            let words: Vec<&str> = copy.split(' ').filter(|word| !word.starts_with("--")).collect();
            let [from, to] = words.as_slice() else { bail!("`COPY {copy}` is no copy of one thing") };
            copies.push(((*from).to_owned(), (*to).to_owned()));
        }
        let environment = of("ENV")
            .into_iter()
            .filter_map(|line| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())));
        let program: Vec<String> = serde_json::from_str(&one("ENTRYPOINT")?).context("ENTRYPOINT is no list")?;
        Ok(Self {
            copies,
            environment: environment.collect(),
            folder: one("WORKDIR")?,
            user: one("USER")?,
            program: program.into_iter().next().context("ENTRYPOINT is empty")?,
        })
    }
}

/// Downloads the packages with an apt of its own: lists, cache and sources of this machine stay as they are.
fn fetch(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let folder = workspace.tools().join("base-image");
    let packages = folder.join("packages");
    for part in ["lists/partial", "cache/archives/partial", "packages", "empty"] {
        fs::create_dir_all(folder.join(part))?;
    }
    // apt's own user reads the lists here.
    let found = || -> Result<Vec<PathBuf>> {
        let mut found: Vec<PathBuf> =
            fs::read_dir(&packages)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        found.sort();
        Ok(found)
    };
    if found()?.len() == PACKAGES.len() {
        return found();
    }
    if !Path::new(KEYRING).exists() {
        bail!("{KEYRING} is not here: install debian-archive-keyring");
    }
    fs::write(folder.join("sources.list"), format!("deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n"))?;
    fs::write(folder.join("status"), "")?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        for (key, value) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::Etc::sourceparts", "empty"),
            ("Dir::Etc::preferences", "empty/none"),
            ("Dir::Etc::preferencesparts", "empty"),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("-o").arg(format!("{key}={}", folder.join(value).display()));
        }
        command.args(["-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"]).args(arguments);
        command.current_dir(&packages).stdin(Stdio::null()).stdout(std::io::stderr());
        succeed(&mut command)
    };
    apt(&["update"])?;
    apt(&[&["download"], PACKAGES.as_slice()].concat())?;
    let got = found()?;
    if got.len() != PACKAGES.len() {
        bail!("{} packages came, and the base image has {}", got.len(), PACKAGES.len());
    }
    Ok(got)
}

fn assemble(image: &Image, packages: &[PathBuf], binary: &Path, root: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    fs::create_dir_all(root)?;
    // base-files says where /lib and /bin are; the others go through it.
    let is_base =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("base-files"));
    for package in packages.iter().filter(is_base).chain(packages.iter().filter(|path| !is_base(path))) {
        succeed(Command::new("dpkg-deb").arg("--extract").arg(package).arg(root))?;
    }
    for (link, to) in [("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        if fs::symlink_metadata(root.join(link)).is_err() {
            symlink(to, root.join(link))?;
        }
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nnonroot:x:65532:\n")?;
    for folder in ["proc", "dev", "tmp", "etc/coffre/keys"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for (from, to) in &image.copies {
        let target = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(target.parent().context("no folder")?)?;
        // The building stage makes the program and empty folders.
        if from.ends_with("/coffre") && *to == image.program {
            fs::copy(binary, &target)?;
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
        } else {
            fs::create_dir_all(&target)?;
            chown(&target, Some(USER), Some(USER))?;
        }
    }
    if !is_program(&root.join(image.program.trim_start_matches('/'))) {
        bail!("{} is started, and nothing copies it", image.program);
    }
    Ok(())
}

fn execute(image: &Image, root: &Path) -> Result<()> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--", "sh", "-c", RUN, "run"]);
    command.arg(root).args([&image.user, &image.program, &image.folder]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(image.environment.iter().cloned());
    command.env("COFFRE_KEYS_DIR", "/etc/coffre/keys");
    // The network is this machine's: ports that are free now.
    for setting in ["COFFRE_HTTP_ADDR", "COFFRE_GRPC_ADDR", "COFFRE_MANAGEMENT_ADDR"] {
        command.env(setting, TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string());
    }
    succeed(command.stdin(Stdio::null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_is_read_and_what_it_lacks_is_said() {
        let file = "FROM a AS build\nCOPY . .\nENTRYPOINT [\"no\"]\n\nFROM b\nCOPY --from=build --chown=0:0 /made/coffre /bin/coffre\nENV A=b\nWORKDIR /w\nUSER 1:2\nENTRYPOINT [\"/bin/coffre\"]\n";
        let expected = Image {
            copies: vec![("/made/coffre".to_owned(), "/bin/coffre".to_owned())],
            environment: vec![("A".to_owned(), "b".to_owned())],
            folder: "/w".to_owned(),
            user: "1:2".to_owned(),
            program: "/bin/coffre".to_owned(),
        };
        assert_eq!(Image::read(file).unwrap(), expected);
        assert!(Image::read(&file.replace("USER 1:2\n", "")).unwrap_err().to_string().contains("no USER"));
        assert!(Image::read(&file.replace("/made/coffre /bin", "/made/coffre x /bin")).is_err());
    }
}
