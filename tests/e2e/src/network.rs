//! A network of a test's own: hosts with addresses, each of which can be cut off. What goes to it and comes from it is then dropped without a word,
//! as where a cable is pulled: nobody is refused, no address becomes unknown.
//!
//! A test that needs it runs in a process of its own, in a network namespace that is gone with it ([`within`]): nothing of this machine's network
//! is touched, and nobody else on it is met. Root may do that everywhere, others where the kernel lets them have namespaces of their own.
//!
//! ```text
//! this process (10.77.0.1) ── bridge ─┬─ 10.77.1.1 ─ a process
//!        │                            ├─ 10.77.1.2 ─ a process
//!        └─ PostgreSQL, by its socket └─ …
//! ```

#![allow(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coffre_test_support::PostgresServer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};

use crate::keeper;
use crate::server::private_folder;

/// Says to a process that it is the one within, and where PostgreSQL is.
const WITHIN: &str = "COFFRE_TEST_NETWORK";
/// This process, for the hosts.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const DATABASE_PORT: u16 = 5432;

/// The network of this process.
#[derive(Clone, Debug)]
pub struct Network {
    /// The namespaces of the hosts, each a file.
    folder: PathBuf,
    /// Each host with the name of the cable that leads to it.
    hosts: BTreeMap<Ipv4Addr, String>,
}

/// Runs a test in a process with a network of its own, with a PostgreSQL server that its hosts reach through it. `name` is that of the test.
///
/// # Panics
/// Where the test fails there, and where this machine has no such networks.
pub fn within(name: &str, hosts: &[Ipv4Addr], test: impl FnOnce(Network)) {
    if let Some(database) = std::env::var_os(WITHIN) {
        return test(Network::begin(hosts, PathBuf::from(database)));
    }
    let postgres = PostgresServer::start();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--net"]);
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture", "--test-threads=1"]);
    let child = unshare
        .env(WITHIN, postgres.socket())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}: the test needs the program `unshare`, of util-linux"));
    let pid = child.id();
    keeper::started(pid);
    let ended = child.wait_with_output().unwrap();
    keeper::ended(pid);
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(
        !said.contains("unshare failed"),
        "this machine gives no namespaces of their own to this user (root has them; others where `sysctl \
         kernel.unprivileged_userns_clone` or the container's profile allows it): {said}"
    );
    assert!(ended.status.success() && said.contains("1 passed"), "{name}, in a network of its own: {said}");
    println!("{said}");
}

/// Runs a command of iproute2; lines that it is told are commands to it.
fn ip(within: Option<&Path>, lines: &[String]) {
    let mut command = Command::new(if within.is_some() { "nsenter" } else { "ip" });
    if let Some(namespace) = within {
        command.arg(net(namespace)).arg("ip");
    }
    let spawned = command.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{error}: the test needs the program `ip`, of iproute2"));
    child.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let told = child.wait_with_output().unwrap();
    assert!(
        told.status.success(),
        "{lines:?}: {}; the kernel needs the modules `bridge` and `veth`",
        String::from_utf8_lossy(&told.stderr)
    );
}

fn net(namespace: &Path) -> String {
    format!("--net={}", namespace.display())
}

/// The hardware address of a host.
fn hardware(host: Ipv4Addr) -> String {
    let [a, b, c, d] = host.octets();
    format!("02:77:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

impl Network {
    fn begin(hosts: &[Ipv4Addr], database: PathBuf) -> Self {
        let folder = private_folder("network");
        let cables = hosts.iter().enumerate().map(|(index, host)| (*host, format!("cable{index}")));
        let network = Self { folder, hosts: cables.collect() };
        let mut lines = vec![
            "link set lo up".to_owned(),
            format!("link add hub address {} type bridge", hardware(HUB)),
            format!("addr add {HUB}/16 dev hub"),
            "link set hub up".to_owned(),
        ];
        // Known for good: where a host is cut off, nobody is told that its address leads nowhere.
        lines.extend(hosts.iter().map(|host| network.neighbour(*host, "hub")));
        ip(None, &lines);
        for (host, cable) in &network.hosts {
            let namespace = network.namespace(*host);
            std::fs::write(&namespace, "").unwrap();
            let made = Command::new("unshare").arg(net(&namespace)).arg("true").output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let (at, hardware) = (namespace.display(), hardware(*host));
            ip(
                None,
                &[
                    format!("link add {cable} type veth peer name eth0 address {hardware} netns {at}"),
                    format!("link set {cable} master hub up"),
                ],
            );
            let mut lines = vec![
                "link set lo up".to_owned(),
                format!("addr add {host}/16 dev eth0"),
                "link set eth0 up".to_owned(),
                network.neighbour(HUB, "eth0"),
            ];
            let others = network.hosts.keys().filter(|other| *other != host);
            lines.extend(others.map(|other| network.neighbour(*other, "eth0")));
            ip(Some(&namespace), &lines);
        }
        lead_to(database);
        network
    }

    fn neighbour(&self, host: Ipv4Addr, device: &str) -> String {
        format!("neigh replace {host} lladdr {} dev {device} nud permanent", hardware(host))
    }

    fn namespace(&self, host: Ipv4Addr) -> PathBuf {
        self.folder.join(host.to_string())
    }

    /// The address of the maintenance database, as the hosts reach it.
    pub fn database(&self) -> String {
        format!("postgres://coffre@{HUB}:{DATABASE_PORT}/postgres")
    }

    /// The same command on a host.
    pub fn on(&self, host: Ipv4Addr, command: &Command) -> Command {
        let mut wrapped = Command::new("nsenter");
        wrapped.arg(net(&self.namespace(host))).arg(command.get_program()).args(command.get_args());
        wrapped.env_clear().stdin(Stdio::null());
        wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        wrapped.current_dir(command.get_current_dir().unwrap());
        wrapped
    }

    /// Cuts a host off.
    pub fn cut_off(&self, host: Ipv4Addr) {
        ip(None, &[format!("link set {} nomaster", self.hosts[&host])]);
    }

    /// Ends that.
    pub fn join(&self, host: Ipv4Addr) {
        ip(None, &[format!("link set {} master hub", self.hosts[&host])]);
    }
}

/// Leads the hosts to the database, whose socket is a file and so reached from every network.
fn lead_to(database: PathBuf) {
    let listener = std::net::TcpListener::bind((HUB, DATABASE_PORT)).unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                let database = database.clone();
                tokio::spawn(async move {
                    here.set_nodelay(true)?;
                    let mut there = UnixStream::connect(database).await?;
                    copy_bidirectional(&mut here, &mut there).await
                });
            }
        });
    });
}
