//! The commands against a server that answers what a test tells it to, and an operator who types what a test tells him to.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, Bytes, BytesMut};
use clap::Parser as _;
use coffre_channel::{Answer, Channel, Request, Response, ResponseFuture};
use coffre_error::{Reason, Refusal};
use coffre_proto::auth::v1::{SignInRequest, SignInResponse};
use coffre_proto::vault::v1::key_slot::Kind;
use coffre_proto::vault::v1::{
    ApplyMasterKeyRequest, ApplyMasterKeyResponse, DrillKeyRequest, DrillKeyResponse, GetModeResponse,
    GetRotationResponse, Mode, Rotation, SetModeRequest, SetModeResponse, StartRotationResponse,
};
use coffre_secret::SecretText;
use http_body_util::{BodyExt as _, Full};
use prost::Message;
use tonic::Status;
use tonic::body::Body;

use super::args::KeysArgs;
use super::fault::Fault;
use super::keys;
use super::secrets::Typed;
use super::session::Session;
use crate::cli::{Cli, Command};

/// Somebody who types these lines, or a pipe.
pub(super) struct Fake {
    lines: Vec<String>,
    input: Option<Vec<u8>>,
    terminal: bool,
    pub(super) prompts: Vec<String>,
}

impl Fake {
    pub(super) fn at_terminal(lines: &[&str]) -> Self {
        let lines = lines.iter().rev().map(|line| (*line).to_owned()).collect();
        Self { lines, input: None, terminal: true, prompts: Vec::new() }
    }

    pub(super) fn piped(bytes: &[u8]) -> Self {
        Self { lines: Vec::new(), input: Some(bytes.to_vec()), terminal: false, prompts: Vec::new() }
    }

    fn next(&mut self, prompt: &str) -> io::Result<String> {
        self.prompts.push(prompt.to_owned());
        self.lines.pop().ok_or_else(|| io::Error::other("no terminal"))
    }
}

impl Typed for Fake {
    fn is_terminal(&self) -> bool {
        self.terminal
    }

    fn line(&mut self, prompt: &str) -> io::Result<String> {
        self.next(prompt)
    }

    fn secret(&mut self, prompt: &str) -> io::Result<SecretText> {
        self.next(prompt).map(SecretText::new)
    }

    fn input(&mut self) -> Option<Box<dyn Read>> {
        self.input.take().map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read>)
    }
}

/// A server that keeps what it was asked.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<Script>>);

#[derive(Default)]
pub(super) struct Script {
    replies: HashMap<&'static str, Result<Vec<u8>, Status>>,
    calls: Vec<(String, Option<String>, Vec<u8>)>,
}

impl Server {
    /// Leads to it.
    pub(super) fn channel(&self) -> Channel {
        Channel::new(self.clone())
    }

    /// From now on the method answers this.
    pub(super) fn reply(&self, method: &'static str, message: &impl Message) -> &Self {
        self.0.lock().unwrap().replies.insert(method, Ok(message.encode_to_vec()));
        self
    }

    pub(super) fn refuse(&self, method: &'static str, reason: Reason) -> &Self {
        self.refuse_as(method, Refusal::new(reason, "what was wrong and what to do"))
    }

    pub(super) fn refuse_as(&self, method: &'static str, refusal: Refusal) -> &Self {
        let status = refusal.into();
        self.0.lock().unwrap().replies.insert(method, Err(status));
        self
    }

    /// The connection breaks in the middle of it.
    pub(super) fn cut(&self, method: &'static str) {
        self.0.lock().unwrap().replies.insert(method, Err(Status::unavailable("the connection broke")));
    }

    pub(super) fn in_mode(mode: Mode) -> Self {
        let server = Self::default();
        server.reply("GetMode", &GetModeResponse { mode: mode.into() });
        server.reply("SignIn", &SignInResponse { token: "a.b.c".into(), ..SignInResponse::default() });
        server
    }

    /// Returns the methods that were called, in their order.
    pub(super) fn methods(&self) -> Vec<String> {
        self.0.lock().unwrap().calls.iter().map(|(method, ..)| method.clone()).collect()
    }

    /// Returns what a method was last asked.
    pub(super) fn asked<M: Message + Default>(&self, method: &str) -> M {
        let script = self.0.lock().unwrap();
        let call = script.calls.iter().rev().find(|(name, ..)| name == method);
        M::decode(call.expect(method).2.as_slice()).unwrap()
    }
}

impl Answer for Server {
    fn answer(&self, request: Request) -> ResponseFuture {
        let script = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let message = body.collect().await?.to_bytes().split_off(5).to_vec();
            let method = parts.uri.path().rsplit('/').next().unwrap().to_owned();
            let token = parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            let mut script = script.lock().unwrap();
            let reply = script.replies.get(method.as_str()).cloned().unwrap_or(Ok(Vec::new()));
            script.calls.push((method, token, message));
            match reply {
                Ok(message) => Ok(framed(&message)),
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// Puts a message into the frame of gRPC and ends it well.
fn framed(message: &[u8]) -> Response {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    let mut trailers = tonic::metadata::MetadataMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let body = Full::new(Bytes::from(frame)).with_trailers(async move { Some(Ok(trailers.into_headers())) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    response
}

fn parsed(line: &str) -> KeysArgs {
    let words = ["coffre", "keys"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}")).command {
        Command::Keys(args) => args,
        other => panic!("{line}: {other:?}"),
    }
}

pub(super) async fn run(server: &Server, line: &str, typed: &mut Fake) -> Result<String, Fault> {
    let mut out = Vec::new();
    run_into(&mut out, server, line, typed).await?;
    Ok(String::from_utf8(out).unwrap())
}

pub(super) async fn run_into(
    out: &mut impl io::Write,
    server: &Server,
    line: &str,
    typed: &mut Fake,
) -> Result<(), Fault> {
    let args = parsed(line);
    let session = Session::over(Channel::new(server.clone()), &args.connection, typed).await?;
    keys::in_session(session, &args, typed, out).await
}

#[test]
fn no_key_and_no_password_is_ever_an_argument() {
    for line in [
        "apply",
        "apply secret",
        "apply --key secret",
        "apply --recovery secret",
        "drill secret",
        "mode manual secret",
        "mode express --private-key secret",
        "recovery new secret",
        "status --password secret",
        "status --token secret",
    ] {
        let words = ["coffre", "keys"].into_iter().chain(line.split_whitespace());
        assert_eq!(Cli::try_parse_from(words).is_ok(), line == "apply", "{line}");
    }
}

#[test]
fn a_key_on_the_command_line_is_not_repeated() {
    for line in ["drill planted", "apply --recovery planted", "recovery new planted"] {
        let words = ["coffre", "keys"].into_iter().chain(line.split_whitespace());
        let said = crate::cli::parse(words.map(Into::into)).unwrap_err().to_string();
        assert!(!said.contains("planted") && said.contains("unexpected argument"), "{line}: {said}");
    }
    let said = crate::cli::parse(["coffre", "keys", "drill", "--recvery"].map(Into::into)).unwrap_err().to_string();
    assert!(said.contains("--recvery") && said.contains("--recovery"), "{said}");
}

#[test]
fn commands_and_flags_are_understood_in_any_order() {
    let args = parsed("--json --addr http://127.0.0.1:1 status");
    assert!(args.connection.json && args.connection.addr == "http://127.0.0.1:1");
    assert!(parsed("status --json").connection.json);
    assert!(!parsed("slots").connection.json);
    for mode in ["express", "Express", "manual", "MANUAL", "Manuel"] {
        parsed(&format!("mode {mode}"));
    }
    for line in ["rotate --watch --no-wait", "mode", "mode automatic", "recovery"] {
        let words = ["coffre", "keys"].into_iter().chain(line.split_whitespace());
        assert!(Cli::try_parse_from(words).is_err(), "{line}");
    }
}

#[tokio::test]
async fn an_operator_signs_in_and_out() {
    let server = Server::in_mode(Mode::Express);
    let mut typed = Fake::at_terminal(&["ellie", "hunter22"]);
    run(&server, "seal", &mut typed).await.unwrap();
    assert_eq!(typed.prompts, ["User: ", "Password of ellie: "]);
    assert_eq!(server.methods(), ["SignIn", "SealVault", "SignOut"]);
    let asked: SignInRequest = server.asked("SignIn");
    assert_eq!((asked.username.as_str(), asked.password.as_str()), ("ellie", "hunter22"));
    let tokens: Vec<_> = server.0.lock().unwrap().calls.iter().map(|(_, token, _)| token.clone()).collect();
    assert_eq!(tokens, [None, Some("Bearer a.b.c".to_owned()), Some("Bearer a.b.c".to_owned())]);
}

#[tokio::test]
async fn the_session_of_a_token_file_is_not_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "x.y.z\n").unwrap();
    let server = Server::in_mode(Mode::Express);
    let line = format!("seal --token-file {}", path.display());
    run(&server, &line, &mut Fake::piped(b"")).await.unwrap();
    assert_eq!(server.methods(), ["SealVault"]);
    assert_eq!(server.0.lock().unwrap().calls[0].1.as_deref(), Some("Bearer x.y.z"));
}

#[tokio::test]
async fn without_token_and_terminal_it_says_what_to_do() {
    let server = Server::in_mode(Mode::Express);
    let fault = run(&server, "status", &mut Fake::piped(b"")).await.unwrap_err();
    assert_eq!(fault.exit_code(), 77);
    assert!(fault.to_string().contains("COFFRE_TOKEN_FILE"), "{fault}");
    assert!(server.methods().is_empty());
    let fault = run(&server, "status --token-file /nowhere/token", &mut Fake::piped(b"")).await.unwrap_err();
    assert!(fault.exit_code() == 77 && fault.to_string().contains("/nowhere/token"), "{fault}");
}

#[tokio::test]
async fn a_refusal_ends_the_session_too_and_never_shows_the_key() {
    let server = Server::in_mode(Mode::Manual);
    server.refuse("ApplyMasterKey", Reason::VaultKeyWrong);
    let fault = run(&server, "apply --user ellie", &mut Fake::at_terminal(&["pw", "planted"])).await.unwrap_err();
    assert_eq!((fault.exit_code(), fault.to_string().as_str()), (65, "what was wrong and what to do"));
    assert!(!format!("{fault:?}").contains("planted"));
    assert_eq!(server.methods(), ["SignIn", "ApplyMasterKey", "SignOut"]);
}

#[tokio::test]
async fn a_key_goes_to_its_field() {
    let server = Server::in_mode(Mode::Manual);
    server.reply("ApplyMasterKey", &ApplyMasterKeyResponse { applied: true });
    server.reply("DrillKey", &DrillKeyResponse { kind: Kind::Recovery.into() });
    let typed = || Fake::at_terminal(&["pw", "the key"]);
    assert_eq!(run(&server, "apply --user e", &mut typed()).await.unwrap(), "the vault is open\n");
    let asked: ApplyMasterKeyRequest = server.asked("ApplyMasterKey");
    assert_eq!((asked.private_key.as_str(), asked.recovery_key.as_str()), ("the key", ""));
    assert_eq!(run(&server, "apply --recovery --json --user e", &mut typed()).await.unwrap(), "{\"applied\":true}\n");
    let asked: ApplyMasterKeyRequest = server.asked("ApplyMasterKey");
    assert_eq!((asked.private_key.as_str(), asked.recovery_key.as_str()), ("", "the key"));
    let said = run(&server, "drill --recovery --user e", &mut typed()).await.unwrap();
    assert_eq!(said, "the key opens the vault (slot recovery); nothing was changed\n");
    let asked: DrillKeyRequest = server.asked("DrillKey");
    assert_eq!((asked.private_key.as_str(), asked.recovery_key.as_str()), ("", "the key"));
}

#[tokio::test]
async fn each_change_of_mode_asks_for_the_keys_that_it_needs() {
    let new = || "new key".to_owned();
    let old = || "old key".to_owned();
    let (express, manual) = (Mode::Express.into(), Mode::Manual.into());
    let none = SetModeRequest::default;
    for (was, line, typed, expected) in [
        (
            Mode::Express,
            "mode manual",
            &["new key", "new key"][..],
            SetModeRequest { mode: manual, private_key: new(), ..none() },
        ),
        (
            Mode::Manual,
            "mode manual",
            &["old key", "new key", "new key"],
            SetModeRequest { mode: manual, private_key: new(), current_key: old(), ..none() },
        ),
        (
            Mode::Manual,
            "mode manual --recovery",
            &["old key", "new key", "new key"],
            SetModeRequest { mode: manual, private_key: new(), recovery_key: old(), ..none() },
        ),
        (Mode::Manual, "mode express", &["old key"], SetModeRequest { mode: express, private_key: old(), ..none() }),
        (
            Mode::Manual,
            "mode express --recovery",
            &["old key"],
            SetModeRequest { mode: express, recovery_key: old(), ..none() },
        ),
        (Mode::Express, "mode express", &[], SetModeRequest { mode: express, ..none() }),
    ] {
        let server = Server::in_mode(was);
        let typed: Vec<&str> = ["pw"].into_iter().chain(typed.iter().copied()).collect();
        let mut typed = Fake::at_terminal(&typed);
        run(&server, &format!("{line} --user e"), &mut typed).await.unwrap();
        assert_eq!(server.asked::<SetModeRequest>("SetMode"), expected, "{line}");
        assert!(typed.lines.is_empty(), "{line}: asked for {:?}", typed.prompts);
    }
}

#[tokio::test]
async fn a_new_master_key_that_is_typed_in_two_ways_changes_nothing() {
    let server = Server::in_mode(Mode::Express);
    let mut typed = Fake::at_terminal(&["pw", "new key", "new kay"]);
    assert_eq!(run(&server, "mode manual --user e", &mut typed).await.unwrap_err().exit_code(), 65);
    assert!(!server.methods().contains(&"SetMode".to_owned()));
    let refused = run(&server, "mode express --new-key-file - --user e", &mut Fake::at_terminal(&["pw"])).await;
    assert!(refused.unwrap_err().to_string().contains("--new-key-file"));
}

#[tokio::test]
async fn a_short_master_key_is_warned_of() {
    let server = Server::in_mode(Mode::Express);
    server.reply("SetMode", &SetModeResponse { key_is_short: true });
    let typed = || Fake::at_terminal(&["pw", "ABC123", "ABC123"]);
    let said = run(&server, "mode manual --user e", &mut typed()).await.unwrap();
    assert!(said.starts_with("the mode is Manual") && said.contains("warning: ") && !said.contains("ABC123"), "{said}");
    let said = run(&server, "mode manual --json --user e", &mut typed()).await.unwrap();
    assert_eq!(said, "{\"keyIsShort\":true,\"mode\":\"Manual\"}\n");
}

#[tokio::test]
async fn a_rotation_is_begun_and_followed_to_its_end() {
    let server = Server::in_mode(Mode::Express);
    let begun = Rotation { running: true, total_count: 7, term: 2, ..Rotation::default() };
    server.reply("StartRotation", &StartRotationResponse { rotation: Some(begun) });
    let ended = Rotation { running: false, done_count: 7, end_time: Some(prost_types::Timestamp::default()), ..begun };
    server.reply("GetRotation", &GetRotationResponse { rotation: Some(ended) });
    let typed = || Fake::at_terminal(&["pw"]);
    let said = run(&server, "rotate --no-wait --user e", &mut typed()).await.unwrap();
    assert_eq!(said, "0.0 % (0 of 7 values), waiting, term 2\n");
    let said = run(&server, "rotate --user e", &mut typed()).await.unwrap();
    assert_eq!(said, "done: 7 values under term 2 since 1970-01-01T00:00:00.000Z\n");
    let before = server.methods().iter().filter(|method| *method == "StartRotation").count();
    run(&server, "rotate --watch --json --user e", &mut typed()).await.unwrap();
    assert_eq!(server.methods().iter().filter(|method| *method == "StartRotation").count(), before);
}

#[tokio::test]
async fn an_incomplete_re_encryption_is_no_success() {
    let server = Server::in_mode(Mode::Express);
    let end_time = Some(prost_types::Timestamp::default());
    let ended = Rotation { done_count: 7, total_count: 8, term: 2, end_time, ..Rotation::default() };
    server.reply("StartRotation", &StartRotationResponse { rotation: Some(ended) });
    server.reply("GetRotation", &GetRotationResponse { rotation: Some(ended) });
    for line in ["rotate --watch --user e", "rotate --user e"] {
        let fault = run(&server, line, &mut Fake::at_terminal(&["pw"])).await.unwrap_err();
        let told = fault.to_string();
        assert!(fault.exit_code() == 1 && told.contains("1 of 8 values are not under term 2"), "{told}");
    }
}

#[tokio::test]
async fn the_status_has_mode_state_and_rotation() {
    let server = Server::in_mode(Mode::Manual);
    server.reply("GetRotation", &GetRotationResponse { rotation: Some(Rotation { term: 1, ..Rotation::default() }) });
    let said = run(&server, "status --user e", &mut Fake::at_terminal(&["pw"])).await.unwrap();
    assert_eq!(
        said,
        "mode      Manual\nvault     sealed; `coffre keys apply` opens it\nrotation  none yet: 0 values, term 1\n"
    );
}
