//! The bare server: axum and nothing else, answering the bytes that Coffre answered. It runs as a process of its own, like Coffre.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::any;
use axum::serve::ListenerExt as _;
use bytes::Bytes;

use crate::cli::BareOptions;
use crate::http::{self, Answer};
use crate::log::Log;

/// What is answered.
struct Canned {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    log: Option<Log>,
}

impl Canned {
    fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

/// Serves until standard input ends: until the program that started this one does.
pub(crate) fn serve(options: &BareOptions) -> Result<()> {
    let answer = http::answer(fs::read(&options.answer)?)?;
    let canned = Arc::new(Canned {
        status: StatusCode::from_u16(answer.status)?,
        headers: headers(&answer)?,
        body: answer.body.into(),
        log: options.log.as_deref().map(Log::create).transpose()?,
    });
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    // As `coffre` makes its runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = if canned.log.is_some() { any(logged) } else { any(plain) };
        let app = Router::new().route("/{*path}", app).with_state(canned);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        // axum and hyper log nothing here; a connection without TCP_NODELAY waits for acknowledgements.
        axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), app).await?;
        Ok(())
    })
}

/// The headers of the answer without those that the server makes itself.
fn headers(answer: &Answer) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers() {
        let name: HeaderName = name.parse()?;
        if ![header::CONTENT_LENGTH, header::DATE, header::CONNECTION].contains(&name) {
            headers.append(name, HeaderValue::from_str(&value)?);
        }
    }
    Ok(headers)
}

async fn plain(State(canned): State<Arc<Canned>>) -> Response<Body> {
    canned.response()
}

/// Takes the body, as a write must.
async fn logged(State(canned): State<Arc<Canned>>, _body: Bytes) -> Response<Body> {
    if let Some(log) = &canned.log
        && log.append().await.is_err()
    {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    canned.response()
}

/// A bare server in a process of its own. It ends when this is dropped.
pub(crate) struct Bare {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Bare {
    /// Starts one that gives the answer again; with a log, after a record is durable.
    pub(crate) fn start(folder: &Path, answer: &Answer, logged: bool) -> Result<Self> {
        let kind = if logged { "logged" } else { "plain" };
        let canned = folder.join(format!("{kind}.answer"));
        fs::write(&canned, &answer.wire)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare").arg("--answer").arg(&canned).stdin(Stdio::piped()).stdout(Stdio::piped());
        if logged {
            command.arg("--log").arg(folder.join("bare.log"));
        }
        let mut child = command.spawn().context("the bare server did not start")?;
        let output = child.stdout.take().context("the bare server has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("the bare server said `{}`", line.trim()))?;
        Ok(Self { child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
