//! Certificates for tests: an authority of one's own, and what it vouches for, as files.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};

/// An authority.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate is to say; what is not said is what a good one says.
#[derive(Clone)]
pub struct Wish {
    /// The identities, such as `spiffe://coffre.internal/vault`.
    pub uris: Vec<String>,
    /// Host names and addresses.
    pub names: Vec<String>,
    /// The first year in which it is valid.
    pub from_year: i32,
    /// The year at whose beginning it expires.
    pub to_year: i32,
    /// Whether a server may show it.
    pub server: bool,
    /// Whether a client may show it.
    pub client: bool,
}

impl Wish {
    /// A certificate of a service.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self::uris(&[&format!("spiffe://coffre.internal/{name}")])
    }

    /// A certificate with these identities.
    #[must_use]
    pub fn uris(uris: &[&str]) -> Self {
        let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
        Self { uris, names: Vec::new(), from_year: 2020, to_year: 2200, server: true, client: true }
    }

    /// A certificate of a public port.
    #[must_use]
    pub fn server(names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { names, client: false, ..Self::uris(&[]) }
    }
}

/// Where the files of a service lie.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities.
    pub ca: PathBuf,
}

impl Placed {
    /// The files of a folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { cert: folder.join("cert.pem"), key: folder.join("key.pem"), ca: folder.join("ca.pem") }
    }

    /// Writes the authorities that are trusted.
    pub fn trust(&self, authorities: &[&Authority]) {
        let all: String = authorities.iter().map(|authority| authority.pem()).collect();
        fs::write(&self.ca, all).expect("the authorities are written");
    }
}

impl Authority {
    /// Makes an authority.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2300, 1, 1));
        let pem = params.self_signed(&key).expect("an authority").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Returns its certificate.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Makes a certificate and its key, both in PEM.
    #[must_use]
    pub fn issue(&self, wish: &Wish) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(wish.names.clone()).expect("names");
        let uris = wish.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().expect("a URI")));
        params.subject_alt_names.extend(uris);
        params.distinguished_name.push(DnType::CommonName, "coffre test");
        (params.not_before, params.not_after) =
            (date_time_ymd(wish.from_year, 1, 1), date_time_ymd(wish.to_year, 1, 1));
        params.use_authority_key_identifier_extension = true;
        let usages =
            [(wish.server, ExtendedKeyUsagePurpose::ServerAuth), (wish.client, ExtendedKeyUsagePurpose::ClientAuth)];
        params.extended_key_usages = usages.into_iter().filter(|(wished, _)| *wished).map(|(_, usage)| usage).collect();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// Makes a certificate and writes it, its key and this authority into a folder, in place of what was there.
    pub fn place(&self, folder: &Path, wish: &Wish) -> Placed {
        let placed = Placed::in_folder(folder);
        let (certificate, key) = self.issue(wish);
        fs::create_dir_all(folder).expect("the folder is made");
        fs::write(&placed.cert, certificate).expect("the certificate is written");
        write_private(&placed.key, &key);
        placed.trust(&[self]);
        placed
    }
}

/// Writes a file for the owner's eyes alone.
pub fn write_private(path: &Path, content: &str) {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .expect("the key file is made");
    file.set_permissions(Permissions::from_mode(0o600)).expect("the key file is closed to others");
    file.write_all(content.as_bytes()).expect("the key is written");
}
