//! What `coffre dev` tells at its start: where things are and how to try them.

use std::net::SocketAddr;

use coffre_config::Settings;
use coffre_secret::SecretText;

use crate::password::FirstPassword;

/// Shows the recovery key of a new vault, this once.
pub(crate) fn recovery_key(key: &SecretText) {
    println!(
        "The vault's recovery key is\n\n  {}\n\n\
         It opens the vault when its key file or master key is lost, and is not shown again: write it down and keep it away from the vault.\n",
        key.expose()
    );
}

/// Prints it. A generated password is shown here, this once.
pub(crate) fn print(
    settings: &Settings,
    http: SocketAddr,
    grpc: SocketAddr,
    management: SocketAddr,
    first: Option<&FirstPassword>,
) {
    let user = &settings.admin_username;
    println!(
        "Coffre {} is running in one process, for this machine only. Stop it with Ctrl-C.\n\n  \
         REST        http://{http}\n  API pages   http://{http}/docs\n  gRPC        {grpc} (plain text, with reflection)\n  \
         Management  http://{management}/readyz and /metrics\n  Data        {}\n",
        env!("CARGO_PKG_VERSION"),
        settings.data_dir.display(),
    );
    match first {
        Some(password) if password.generated => println!(
            "First start: the administrator is \"{user}\", its password is\n\n  {}\n\n\
             It is not shown again. Set COFFRE_ADMIN_PASSWORD before the first start to choose it yourself.\n",
            password.text.expose()
        ),
        Some(_) => println!("First start: the administrator is \"{user}\", with the password that you gave.\n"),
        None => println!("The administrator is the one of the first start (\"{user}\", unless it was renamed).\n"),
    }
    println!(
        "Try it:\n  curl -s http://{http}/v1/authentication -d '{{\"username\":\"{user}\",\"password\":\"…\"}}'\n  \
         grpcurl -plaintext -d '{{\"username\":\"{user}\",\"password\":\"…\"}}' {grpc} coffre.auth.v1.AuthenticationService/SignIn\n"
    );
}
