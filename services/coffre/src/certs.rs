//! `coffre dev certs`: an authority, a certificate for each service, and one for the public ports. For trying: the authority's key is not kept,
//! so that nobody can make more of them. In a cluster cert-manager makes them, under the same file names.
//!
//! ```text
//! FOLDER/{auth,vault,locker,audit,gateway}/  tls.crt tls.key ca.crt   for tls.internal_*: spiffe://<trust domain>/<service>
//! FOLDER/public/                             tls.crt tls.key ca.crt   for tls.cert_file, tls.key_file; clients believe ca.crt
//! ```

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use coffre_tls::{Identity, Service, TrustDomain};
use coffre_types::{Clock as _, SystemClock};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

use crate::{keys, say};

/// How long they last.
const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How far in the past they begin: clocks of machines differ.
const BEGUN: Duration = Duration::from_secs(60 * 60);
/// Names of this machine, under which the public ports are reached.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const PUBLIC: &str = "public";

/// Makes them in a folder that holds none yet.
pub(crate) fn command(out: &Path, dns: &[String], trust_domain: &str) -> anyhow::Result<()> {
    let trust_domain = TrustDomain::parse(trust_domain).context("--trust-domain")?;
    make(out, dns, &trust_domain)?;
    let folder = out.display();
    say::line(format_args!(
        "Made for trying, good for {} days: a folder for each service and one for the public ports, each with tls.crt, tls.key and ca.crt.\n\n  \
         COFFRE_TLS__INTERNAL_CERT_FILE={folder}/auth/tls.crt COFFRE_TLS__INTERNAL_KEY_FILE={folder}/auth/tls.key COFFRE_TLS__INTERNAL_CA_FILE={folder}/auth/ca.crt\n  \
         COFFRE_TLS__CERT_FILE={folder}/public/tls.crt COFFRE_TLS__KEY_FILE={folder}/public/tls.key      clients believe {folder}/public/ca.crt",
        LIFE.as_secs() / (24 * 60 * 60)
    ))
    .context("they are made, and that cannot be printed")
}

fn make(out: &Path, dns: &[String], trust_domain: &TrustDomain) -> anyhow::Result<()> {
    let folders = Service::ALL.map(Service::as_str).into_iter().chain([PUBLIC]);
    if let Some(there) = folders.map(|name| out.join(name)).find(|folder| folder.exists()) {
        bail!("{} is there already, and is not replaced: name another folder", there.display());
    }
    keys::private_folder(out)?;
    let authority_key = KeyPair::generate().context("the authority's key cannot be made")?;
    let authority = authority()?;
    let ca = authority.self_signed(&authority_key).context("the authority's certificate cannot be made")?.pem();
    let issuer = Issuer::from_params(&authority, &authority_key);
    for service in Service::ALL {
        let identity = Identity { trust_domain: trust_domain.clone(), service };
        let uri = identity.uri().try_into().context("the SPIFFE id is no URI")?;
        let both = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        issue(&out.join(service.as_str()), service.as_str(), vec![SanType::URI(uri)], &both, &issuer, &ca)?;
    }
    let names = LOCAL.into_iter().chain(dns.iter().map(String::as_str)).map(name).collect::<anyhow::Result<_>>()?;
    issue(&out.join(PUBLIC), PUBLIC, names, &[ExtendedKeyUsagePurpose::ServerAuth], &issuer, &ca)
}

fn authority() -> anyhow::Result<CertificateParams> {
    let mut params = begun("authority")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn begun(name: &str) -> anyhow::Result<CertificateParams> {
    let now = SystemClock.now().micros();
    let now =
        UNIX_EPOCH + Duration::from_micros(u64::try_from(now).context("the clock of this machine is before 1970")?);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Coffre {name}, for trying"));
    params.not_before = (now - BEGUN).into();
    params.not_after = (now + LIFE).into();
    Ok(params)
}

fn name(text: &str) -> anyhow::Result<SanType> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.*".contains(&byte);
    if text.is_empty() || !text.bytes().all(plain) {
        bail!("--dns takes a name such as vault.example.org or an address, not `{text}`");
    }
    Ok(SanType::DnsName(text.to_owned().try_into().with_context(|| format!("--dns: `{text}` is no name"))?))
}

fn issue(
    folder: &Path,
    subject: &str,
    names: Vec<SanType>,
    uses: &[ExtendedKeyUsagePurpose],
    issuer: &Issuer<'_, &KeyPair>,
    ca: &str,
) -> anyhow::Result<()> {
    let mut params = begun(subject)?;
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = uses.to_vec();
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().with_context(|| format!("the key of {subject} cannot be made"))?;
    let certificate =
        params.signed_by(&key, issuer).with_context(|| format!("the certificate of {subject} cannot be made"))?;
    keys::private_folder(folder)?;
    let private = coffre_secret::SecretText::new(key.serialize_pem());
    for (file, text) in [("tls.crt", certificate.pem().as_str()), ("ca.crt", ca), ("tls.key", private.expose())] {
        let path = folder.join(file);
        let written = keys::private_file(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.with_context(|| format!("{} cannot be written", path.display()))?;
    }
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use coffre_tls::{Files, InternalFiles, InternalTls, PublicTls};

    use super::*;

    #[test]
    fn what_is_made_is_what_the_services_take_each_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("certs");
        let domain = TrustDomain::parse("example.internal").unwrap();
        make(&out, &["vault.example.org".to_owned(), "10.1.2.3".to_owned()], &domain).unwrap();
        let files = |service: &str, trust_domain: &TrustDomain| InternalFiles {
            cert: out.join(service).join("tls.crt"),
            key: out.join(service).join("tls.key"),
            ca: out.join(service).join("ca.crt"),
            trust_domain: trust_domain.clone(),
        };
        for service in Service::ALL {
            InternalTls::load(files(service.as_str(), &domain), service).unwrap();
            assert!(InternalTls::load(files(service.as_str(), &TrustDomain::default()), service).is_err());
        }
        assert!(InternalTls::load(files("vault", &domain), Service::Auth).is_err(), "vault's is not auth's");
        let public = Files { cert: out.join("public/tls.crt"), key: out.join("public/tls.key") };
        let expires = PublicTls::load(public).unwrap().expires_at();
        let left = expires.since(SystemClock.now());
        assert!(left > LIFE - Duration::from_secs(60) && left <= LIFE, "{left:?}");
        for entry in fs::read_dir(out.join("public")).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
        }
        let refused = make(&out, &[], &domain).unwrap_err().to_string();
        assert!(refused.contains("is there already"), "{refused}");
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for bad in ["", "https://vault.example.org", "vault example", "caf\u{e9}.example"] {
            assert!(name(bad).unwrap_err().to_string().contains("--dns"), "{bad}");
        }
        assert!(matches!(name("::1").unwrap(), SanType::IpAddress(_)));
        assert!(matches!(name("*.example.org").unwrap(), SanType::DnsName(_)));
    }
}
