//! `cargo xtask deploy run`: the Jobs and services of the overlay `dev`, as their manifests say: their arguments, settings, files and user, in the
//! container's root folder, which nobody can write to. What a cluster would add is made here: secrets, names, a database.
//!
//! All run on this machine's loopback interface, each with an address of its own, where the manifests say 0.0.0.0.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{capture, step, succeed};
use crate::deploy::object::{Pairs, Rendered, Workload, list, text, texts};
use crate::deploy::{root, tool};
use crate::postgres::Server;
use crate::workspace::Workspace;

const FOLDER: &str = "init/dev";
const GROUP: u32 = 65532;
const READY_WITHIN: Duration = Duration::from_secs(60);
const ADDRESSES: [&str; 4] = ["COFFRE_HTTP_ADDR", "COFFRE_GRPC_ADDR", "COFFRE_INTERNAL_ADDR", "COFFRE_MANAGEMENT_ADDR"];

/// Run within namespaces of its own: `$1` the root folder, `$2` the user, `$3` the program, then `from:to` for each volume, `--`, and the arguments.
const POD: &str = r#"
set -eu
root=$1; user=$2; program=$3; shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o size=64k,mode=0755 tmpfs "$root/dev"
for device in null zero random urandom; do : >"$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
while [ "$1" != -- ]; do
    case "$1" in
        :*) mount -t tmpfs -o "size=1m,mode=2777,gid=${user#*:}" tmpfs "$root${1#*:}" ;;
        *) mount --bind -o ro "${1%:*}" "$root${1#*:}" ;;
    esac
    shift
done
shift
mount -o remount,bind,ro "$root"
cd /
exec setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid --inh-caps=-all \
    chroot --userspec="$user" --groups="${user#*:}" "$root" "$program" "$@"
"#;

/// What a Secret or a ConfigMap holds: names of files with their contents.
type Held = BTreeMap<String, Vec<u8>>;

/// Makes what a cluster would, and runs them.
pub(super) fn run(workspace: &Workspace, binary: &Path) -> Result<ExitCode> {
    let (image, root) = root::prepare(workspace, binary)?;
    let folder = workspace.root.join("deploy/kubernetes").join(FOLDER);
    let answer = tool::Tool::provide(workspace)?.ask(std::slice::from_ref(&folder), &[], &[])?;
    let objects = answer.folders.into_iter().next().context("nothing was rendered")?.objects;
    let rendered = Rendered::new(FOLDER, &folder, objects)?;
    let database = Server::start(false)?;
    let made = workspace.tools().join("cluster");
    if made.exists() {
        fs::remove_dir_all(&made)?;
    }
    fs::create_dir_all(&made)?;
    let held = step("making the secrets of the cluster", || secrets(binary, &made, &database.url))?;
    let pods = Pods { rendered: &rendered, held: &held, made: &made, root: &root, image: &image };
    let (jobs, services): (Vec<_>, Vec<_>) = rendered
        .workloads()
        .filter(|one| !one.component().is_empty())
        .partition(|one| text(one.object, "/kind") == "Job");
    pods.prepare(&services)?;
    for component in ["migrate", "init"] {
        let job =
            jobs.iter().find(|job| job.component() == component).with_context(|| format!("no Job {component}"))?;
        step(&job.shown(), || succeed(&mut pods.command(*job, None)?))?;
    }
    step("starting the services, waiting until all are ready, stopping them", || {
        let mut running = Vec::new();
        for service in &services {
            let log = fs::File::create(made.join(format!("{}.log", service.component())))?;
            running
                .push((service.component(), pods.command(*service, None)?.stdout(Stdio::null()).stderr(log).spawn()?));
        }
        let outcome = pods.ready(&services, &mut running);
        let stopped = outcome.and_then(|()| stop(&mut running));
        for (_, child) in &mut running {
            let _ = child.kill();
        }
        stopped.with_context(|| format!("the logs are in {}", made.display()))
    })?;
    println!("both Jobs and {} services run as their manifests say", services.len());
    Ok(ExitCode::SUCCESS)
}

/// Sends SIGTERM to each program itself, which is the first process of its namespace, and expects clean ends.
fn stop(running: &mut [(&str, Child)]) -> Result<()> {
    for (_, child) in running.iter() {
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let program = fs::read_to_string(children)?.trim().to_owned();
        capture(Command::new("kill").args(["-TERM", &program]))?;
    }
    for (service, child) in running {
        let status = child.wait()?;
        if !status.success() {
            bail!("{service} did not end with 0 after SIGTERM, but with {status}");
        }
    }
    Ok(())
}

/// What deploy/README.md has people make.
fn secrets(binary: &Path, made: &Path, database: &str) -> Result<BTreeMap<String, Held>> {
    let (keys, certificates) = (made.join("keys"), made.join("certificates"));
    capture(Command::new(binary).args(["init", "keys", "--out"]).arg(&keys))?;
    capture(Command::new(binary).args(["dev", "certs", "--out"]).arg(&certificates))?;
    let files = |folder: &Path, names: &[&str]| -> Result<Held> {
        names.iter().map(|name| Ok(((*name).to_owned(), fs::read(folder.join(name))?))).collect()
    };
    let mut held = BTreeMap::new();
    for key in ["auth", "express", "audit", "checkpoint"] {
        held.insert(format!("coffre-key-{key}"), files(&keys, &[&format!("{key}.key")])?);
    }
    for service in ["auth", "vault", "locker", "audit", "gateway"] {
        let pair = ["tls.crt", "tls.key"];
        held.insert(format!("coffre-{service}-internal"), files(&certificates.join(service), &pair)?);
        held.insert(format!("coffre-{service}-public"), files(&certificates.join("public"), &pair)?);
    }
    held.insert("coffre-authorities".to_owned(), files(&certificates.join("auth"), &["ca.crt"])?);
    held.insert("coffre-database".to_owned(), Held::from([("url".to_owned(), database.as_bytes().to_vec())]));
    let password = b"correct-horse-battery".to_vec();
    held.insert("coffre-first-administrator".to_owned(), Held::from([("password".to_owned(), password)]));
    Ok(held)
}

struct Pods<'r> {
    rendered: &'r Rendered,
    held: &'r BTreeMap<String, Held>,
    made: &'r Path,
    root: &'r Path,
    image: &'r root::Image,
}

impl Pods<'_> {
    /// Names of the services, and the folders at which volumes are mounted: a container engine makes both.
    fn prepare(&self, services: &[Workload<'_>]) -> Result<()> {
        let names =
            services.iter().enumerate().map(|(at, one)| format!("{} coffre-{}\n", address(at), one.component()));
        let hosts: String = std::iter::once("127.0.0.1 localhost\n".to_owned()).chain(names).collect();
        fs::write(self.root.join("etc/hosts"), hosts)?;
        for mount in self.rendered.workloads().flat_map(Workload::containers).flat_map(|one| list(one, "/volumeMounts"))
        {
            fs::create_dir_all(self.root.join(text(mount, "/mountPath").trim_start_matches('/')))?;
        }
        Ok(())
    }

    /// How a pod runs: its own arguments, or those that are given in their place.
    fn command(&self, pod: Workload<'_>, instead: Option<&[&str]>) -> Result<Command> {
        let container = pod.containers().next().context("no container")?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--", "sh", "-c", POD, "pod"]);
        command.arg(self.root).args([&self.image.user, &self.image.program]);
        for mount in list(container, "/volumeMounts") {
            let (volume, path) = (text(mount, "/name"), text(mount, "/mountPath"));
            let from = self.volume(pod, volume)?;
            command.arg(format!("{}:{path}", from.map_or_else(String::new, |folder| folder.display().to_string())));
        }
        command.arg("--").args(instead.map_or_else(|| texts(container, "/args"), <[&str]>::to_vec));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(self.image.environment.iter().cloned());
        command.envs(self.environment(pod, container)).stdin(Stdio::null());
        Ok(command)
    }

    /// The environment of the manifest, at the address of this pod.
    fn environment(&self, pod: Workload<'_>, container: &Value) -> Pairs {
        let mut environment = self.rendered.environment(container);
        let services = self.rendered.workloads().filter(|one| text(one.object, "/kind") == "Deployment");
        let at = services.into_iter().position(|one| one.component() == pod.component()).unwrap_or_default();
        for setting in ADDRESSES {
            if let Some(value) = environment.get_mut(setting) {
                *value = value.replace("0.0.0.0", &address(at));
            }
        }
        environment
    }

    /// Puts the files of a volume into a folder, as a kubelet does: root's, and readable by the group of the pod. None for one that is empty.
    fn volume(&self, pod: Workload<'_>, name: &str) -> Result<Option<PathBuf>> {
        let volume =
            list(pod.pod(), "/volumes").find(|volume| text(volume, "/name") == name).context("no such volume")?;
        if volume.get("emptyDir").is_some() {
            return Ok(None);
        }
        let mut sources: Vec<(&str, &Value)> = Vec::new();
        for (pointer, key) in [("/secret", "/secretName"), ("/configMap", "/name")] {
            sources.extend(volume.pointer(pointer).map(|source| (text(source, key), source)));
        }
        let projected = list(volume, "/projected/sources").filter_map(|source| source.get("secret"));
        sources.extend(projected.map(|source| (text(source, "/name"), source)));
        let folder = self.made.join(format!("{}-{name}", pod.component()));
        // Made once: it is open in a process afterwards.
        if folder.exists() {
            return Ok(Some(folder));
        }
        fs::create_dir_all(&folder)?;
        for (source, asked) in sources {
            let held = self.held.get(source).with_context(|| format!("nobody made {source}"))?;
            let items: Vec<&str> = list(asked, "/items").map(|item| text(item, "/key")).collect();
            for (file, content) in held.iter().filter(|(file, _)| items.is_empty() || items.contains(&file.as_str())) {
                let path = folder.join(file);
                fs::write(&path, content)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o440))?;
                chown(&path, Some(0), Some(GROUP))?;
            }
        }
        Ok(Some(folder))
    }

    /// Waits until every service says that it is ready, asked as a probe would.
    fn ready(&self, services: &[Workload<'_>], running: &mut [(&str, Child)]) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        for service in services {
            loop {
                let asked = self
                    .command(*service, Some(&["healthcheck"]))?
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()?;
                if asked.success() {
                    break;
                }
                for (name, child) in running.iter_mut() {
                    if let Some(status) = child.try_wait()? {
                        bail!("{name} ended by itself ({status})");
                    }
                }
                if Instant::now() > deadline {
                    bail!("{} is not ready after {} s", service.component(), READY_WITHIN.as_secs());
                }
                sleep(Duration::from_millis(200));
            }
        }
        Ok(())
    }
}

/// The address of a pod.
fn address(at: usize) -> String {
    format!("127.0.99.{}", at + 11)
}
