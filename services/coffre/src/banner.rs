//! What `coffre dev` and `coffre init` tell of a new installation, and where a process of `coffre dev` is and how to try it.

use std::io;
use std::net::SocketAddr;

use coffre_config::Settings;
use coffre_secret::SecretText;

use crate::compose::Form;
use crate::password::FirstPassword;
use crate::say;

/// Shows the recovery key of a new vault, this once.
pub(crate) fn recovery_key(key: &SecretText) -> io::Result<()> {
    say::line(format_args!(
        "The vault's recovery key is\n\n  {}\n\n\
         It opens the vault when its key file or master key is lost, and is not shown again: write it down and keep it away from the vault.\n",
        key.expose()
    ))
}

/// Tells of a vault that was made before. Whether anybody has its recovery key is not known here.
pub(crate) fn vault_of_an_earlier_try() -> io::Result<()> {
    say::line(
        "The vault was made by an earlier try, and its recovery key was printed then alone. If nobody has it, it is lost: start Coffre, and make\n\
         a new one while the vault is open. As long as there is none, a lost express.key loses all values.\n\n  \
         coffre keys mode manual      asks for a master key, which you choose\n  \
         coffre keys recovery new     asks for that master key, and shows the new recovery key\n  \
         coffre keys mode express     asks for it again, and gives the vault back to express.key\n",
    )
}

/// Shows a password that was made here, this once.
pub(crate) fn first_password(settings: &Settings, form: Form, password: &FirstPassword) -> io::Result<()> {
    say::line(format_args!(
        "The administrator is \"{}\", its password is\n\n  {}\n\nIt is not shown again{}\n",
        settings.admin_username,
        password.text.expose(),
        match form {
            Form::Dev => ". Set COFFRE_ADMIN_PASSWORD before the first start to choose it yourself.",
            Form::Serve => ", and must be changed at the first sign-in.",
        }
    ))
}

/// Tells where the process is. All secrets were shown before.
pub(crate) fn print(
    settings: &Settings,
    http: SocketAddr,
    grpc: SocketAddr,
    management: SocketAddr,
    first: Option<&FirstPassword>,
) -> io::Result<()> {
    let user = &settings.admin_username;
    say::line(format_args!(
        "Coffre {} is running in one process, for this machine only. Stop it with Ctrl-C.\n\n  \
         REST        http://{http}\n  API pages   http://{http}/docs\n  gRPC        {grpc} (plain text, with reflection)\n  \
         Management  http://{management}/readyz and /metrics\n  Data        {}\n",
        env!("CARGO_PKG_VERSION"),
        settings.data_dir.display(),
    ))?;
    match first {
        Some(password) if password.generated => {
            say::line(format_args!("First start: the administrator is \"{user}\", with the password above.\n"))?;
        }
        Some(_) => {
            say::line(format_args!(
                "First start: the administrator is \"{user}\", with the password that you gave.\n"
            ))?;
        }
        None => say::line(format_args!(
            "The administrator is the one of the first start (\"{user}\", unless it was renamed).\n"
        ))?,
    }
    say::line(format_args!(
        "Try it:\n  curl -s http://{http}/v1/authentication -d '{{\"username\":\"{user}\",\"password\":\"…\"}}'\n  \
         grpcurl -plaintext -d '{{\"username\":\"{user}\",\"password\":\"…\"}}' {grpc} coffre.auth.v1.AuthenticationService/SignIn\n"
    ))
}
