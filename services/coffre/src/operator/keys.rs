//! `coffre keys …`: one function a command.

use std::io::Write;
use std::path::Path;

use coffre_proto::vault::v1::{
    ApplyMasterKeyRequest, DrillKeyRequest, GetMasterKeyStatusRequest, GetModeRequest, KeySlot, ListKeySlotsRequest,
    Mode, SealVaultRequest, SetModeRequest, StartRotationRequest, UnsealVaultRequest,
};
use serde_json::json;

use super::args::{KeysArgs, KeysCommand, ModeName, PresentKey, RecoveryCommand};
use super::fault::Fault;
use super::secrets::{self, Typed};
use super::session::Session;
use super::shown::{self, Shown};
use super::{follow, recovery};

/// Signs in, does what was asked, and signs out.
pub(crate) async fn command(args: &KeysArgs, typed: &mut impl Typed, out: &mut impl Write) -> Result<(), Fault> {
    let session = Session::open(&args.connection, typed).await?;
    in_session(session, args, typed, out).await
}

/// The same in a session.
pub(crate) async fn in_session(
    mut session: Session,
    args: &KeysArgs,
    typed: &mut impl Typed,
    out: &mut impl Write,
) -> Result<(), Fault> {
    let done = perform(&mut session, args, typed, out).await;
    session.close().await;
    done
}

async fn perform(
    session: &mut Session,
    args: &KeysArgs,
    typed: &mut impl Typed,
    out: &mut impl Write,
) -> Result<(), Fault> {
    let as_json = args.connection.json;
    let shown = match &args.command {
        KeysCommand::Status => status(session).await?,
        KeysCommand::Apply(key) => apply(session, typed, key).await?,
        KeysCommand::Mode { mode, new_key_file, present } => {
            set_mode(session, typed, *mode, new_key_file.as_deref(), present).await?
        }
        KeysCommand::Seal => seal(session).await?,
        KeysCommand::Unseal => unseal(session).await?,
        KeysCommand::Rotate { watch: true, .. } => return follow::to_the_end(session, out, as_json).await,
        KeysCommand::Rotate { no_wait, .. } => {
            let begun = rotate(session).await?;
            if !no_wait {
                return follow::to_the_end(session, out, as_json).await;
            }
            begun
        }
        KeysCommand::Recovery { command: RecoveryCommand::New { key_file, out: file } } => {
            let asked = recovery::Asked { key_file: key_file.as_deref(), file: file.as_deref(), as_json };
            return recovery::new_key(session, typed, &asked, out).await;
        }
        KeysCommand::Drill(key) => drill(session, typed, key).await?,
        KeysCommand::Slots => shown::slots(&slots(session).await?),
    };
    shown.print(out, as_json)
}

/// Sends one call; `$message` is its request.
macro_rules! call {
    ($session:expr, $method:ident, $message:expr) => {{
        let request = $session.request($message)?;
        $session.keys().$method(request).await.map_err(|status| $session.fault(&status))?.into_inner()
    }};
}

async fn status(session: &mut Session) -> Result<Shown, Fault> {
    let mode = mode(session).await?;
    let applied = call!(session, get_master_key_status, GetMasterKeyStatusRequest {}).applied;
    Ok(shown::status(mode, applied, &follow::ask(session).await?))
}

pub(crate) async fn mode(session: &Session) -> Result<Mode, Fault> {
    Ok(call!(session, get_mode, GetModeRequest {}).mode())
}

pub(crate) async fn slots(session: &Session) -> Result<Vec<KeySlot>, Fault> {
    Ok(call!(session, list_key_slots, ListKeySlotsRequest {}).slots)
}

/// Reads a key that opens the vault and returns it as master key or as recovery key.
fn present_key(typed: &mut impl Typed, key: &PresentKey) -> Result<(String, String), Fault> {
    let what = if key.recovery { "recovery key" } else { "master key" };
    let text = secrets::key(typed, key.key_file.as_deref(), what)?.into_exposed();
    Ok(if key.recovery { (String::new(), text) } else { (text, String::new()) })
}

async fn apply(session: &Session, typed: &mut impl Typed, key: &PresentKey) -> Result<Shown, Fault> {
    let (private_key, recovery_key) = present_key(typed, key)?;
    let answer = call!(session, apply_master_key, ApplyMasterKeyRequest { private_key, recovery_key });
    let text = if answer.applied { "the vault is open" } else { "the key is good, and the vault is still sealed" };
    Ok(Shown { text: text.to_owned(), json: json!({"applied": answer.applied}) })
}

async fn drill(session: &Session, typed: &mut impl Typed, key: &PresentKey) -> Result<Shown, Fault> {
    let (private_key, recovery_key) = present_key(typed, key)?;
    let answer = call!(session, drill_key, DrillKeyRequest { private_key, recovery_key });
    let kind = shown::kind_name(answer.kind());
    Ok(Shown {
        text: format!("the key opens the vault (slot {kind}); nothing was changed"),
        json: json!({"kind": kind}),
    })
}

async fn set_mode(
    session: &Session,
    typed: &mut impl Typed,
    name: ModeName,
    new_key_file: Option<&Path>,
    present: &PresentKey,
) -> Result<Shown, Fault> {
    if name == ModeName::Express && new_key_file.is_some() {
        return Err(Fault::failed("the mode express has no master key that people hold: leave --new-key-file out"));
    }
    let was = mode(session).await?;
    // In the mode Express nobody holds a master key that could be asked for.
    let wanted = was == Mode::Manual || present.recovery || present.key_file.is_some();
    let (master_key, recovery_key) = if wanted { present_key(typed, present)? } else { Default::default() };
    let request = match name {
        ModeName::Express => SetModeRequest {
            mode: Mode::Express.into(),
            private_key: master_key,
            recovery_key,
            ..SetModeRequest::default()
        },
        ModeName::Manual => SetModeRequest {
            mode: Mode::Manual.into(),
            private_key: secrets::new_key(typed, new_key_file, "new master key")?.into_exposed(),
            current_key: master_key,
            recovery_key,
        },
    };
    let answer = call!(session, set_mode, request);
    let mode = match name {
        ModeName::Express => Mode::Express,
        ModeName::Manual => Mode::Manual,
    };
    let mut text = format!(
        "the mode is {}; values are re-encrypted in the background (`coffre keys rotate --watch` shows how far it is)",
        shown::mode_name(mode)
    );
    if let Some(old) = shown::old_key(was, mode) {
        text.push('\n');
        text.push_str(old);
    }
    if answer.key_is_short {
        text.push_str(
            "\nwarning: the master key is shorter than 16 characters: whoever gets a copy of the database can guess it",
        );
    }
    Ok(Shown { text, json: json!({"mode": shown::mode_name(mode), "keyIsShort": answer.key_is_short}) })
}

async fn seal(session: &Session) -> Result<Shown, Fault> {
    call!(session, seal_vault, SealVaultRequest {});
    Ok(Shown { text: "the vault is sealed".to_owned(), json: json!({"applied": false}) })
}

async fn unseal(session: &Session) -> Result<Shown, Fault> {
    call!(session, unseal_vault, UnsealVaultRequest {});
    Ok(Shown { text: "the vault is open".to_owned(), json: json!({"applied": true}) })
}

async fn rotate(session: &Session) -> Result<Shown, Fault> {
    let answer = call!(session, start_rotation, StartRotationRequest {});
    let rotation = answer.rotation.ok_or_else(|| Fault::failed("the server told nothing of a rotation"))?;
    Ok(shown::rotation(&rotation))
}
