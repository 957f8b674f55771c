//! Clients that want no answer: connections that say nothing, or half of something, or ask and never read. On every port of a service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What a connection does, once it is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Nothing.
    Silent,
    /// One byte of what could become a request, every second.
    Slow,
    /// Asks again and again, and reads nothing.
    Deaf,
    /// Sends headers without end.
    Bomb,
}

impl Manner {
    pub const ALL: [Self; 4] = [Self::Silent, Self::Slow, Self::Deaf, Self::Bomb];
}

/// Clients at one port, until they are dropped.
#[derive(Debug)]
pub struct Crowd {
    clients: JoinSet<()>,
    open: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

impl Crowd {
    /// Begins to open so many connections.
    pub fn at(port: SocketAddr, manner: Manner, count: usize) -> Self {
        let (open, opened) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        // As many as are under way at once.
        let places = Arc::new(Semaphore::new(64));
        let mut clients = JoinSet::new();
        for index in 0..count {
            let (open, opened, places) = (open.clone(), opened.clone(), places.clone());
            clients.spawn(async move {
                let place = places.acquire_owned().await.unwrap();
                // From many addresses of this machine, where the port is on it.
                let [high, low] = u16::try_from(index % 200 + 256).unwrap().to_be_bytes();
                let from =
                    if port.ip().is_loopback() { Ipv4Addr::new(127, 66, high, low) } else { Ipv4Addr::UNSPECIFIED };
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind((IpAddr::from(from), 0).into()).unwrap();
                let connecting = tokio::time::timeout(Duration::from_secs(30), socket.connect(port)).await;
                drop(place);
                opened.fetch_add(1, Ordering::SeqCst);
                // Nobody has to take it.
                let Ok(Ok(stream)) = connecting else { return };
                open.fetch_add(1, Ordering::SeqCst);
                let (mut reads, mut writes) = stream.into_split();
                let sending = async {
                    // Until it is hung up on.
                    let _ = behave(manner, port, &mut writes).await;
                    std::future::pending::<()>().await;
                };
                let ended = async {
                    if manner != Manner::Deaf {
                        let mut buffer = [0; 1024];
                        while matches!(reads.read(&mut buffer).await, Ok(read) if read > 0) {}
                    } else {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    () = sending => {}
                    () = ended => {}
                }
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
        Self { clients, open, opened }
    }

    /// Waits until all have tried.
    pub async fn opened(&self) {
        self.tried(self.clients.len()).await;
    }

    /// Waits until so many have tried.
    pub async fn tried(&self, count: usize) {
        while self.opened.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many connections stand.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

async fn behave(manner: Manner, port: SocketAddr, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let head = format!("GET /metrics HTTP/1.1\r\nHost: {port}\r\n");
    match manner {
        Manner::Silent => {}
        Manner::Slow => {
            for byte in head.bytes().cycle() {
                to.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Manner::Deaf => {
            for _ in 0..20 {
                to.write_all(format!("{head}\r\n").as_bytes()).await?;
            }
        }
        Manner::Bomb => {
            to.write_all(head.as_bytes()).await?;
            for number in 0.. {
                to.write_all(format!("x-{number}: {}\r\n", "x".repeat(1024)).as_bytes()).await?;
            }
        }
    }
    Ok(())
}
