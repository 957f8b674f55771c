//! Reading a backup to its end before anything is written: whether it is whole, and whether every value in it opens.

use anyhow::{Context as _, anyhow, bail};
use coffre_audit_proof::note::VerifierKey;
use coffre_backup::Record;
use coffre_crypto::keyring::{OpenKeyring, RootKey, Term, WrappedTerm};
use coffre_crypto::value::Place;
use coffre_db::Bind;
use coffre_db::copy::{Column, Row};
use coffre_secret::SecretBytes;

use super::opening::Opened;
use super::rows::Columns;
use super::witness::Log;
use super::{SERVICES, afterwards, signed, vouched};
use crate::keys;

/// How many values that do not open are named.
const NAMED: usize = 50;

/// What is in a backup.
pub(super) struct Examined {
    /// The key files, each of [`keys::IN_BACKUPS`] once: no name that is in a file names one here.
    pub(super) key_files: Vec<(&'static str, SecretBytes)>,
    /// What the audit's log is signed with; and the backup has to be.
    pub(super) signed_with: VerifierKey,
    /// The services, each with the versions of its migrations.
    pub(super) services: Vec<(String, Vec<String>)>,
    /// The keys, each slot with its kind's number and when it was made.
    pub(super) slots: Vec<(i64, Vec<u8>, i64)>,
    pub(super) keyring: OpenKeyring,
    pub(super) rows: u64,
    pub(super) values: u64,
    /// How many of them do not open.
    pub(super) damaged: u64,
    /// The first of those.
    pub(super) named: Vec<String>,
    /// The highest id that any service has seen.
    pub(super) last_id: i64,
    /// The audit's log.
    pub(super) log: Log,
}

impl Examined {
    /// Reads a backup.
    pub(super) fn of(backup: &Opened) -> anyhow::Result<Self> {
        let mut reader = backup.records("checking")?;
        let mut looking = Looking::new(&backup.root);
        while let Some(record) = reader.next_record()? {
            looking.at(record)?;
        }
        let examined = looking.end()?;
        let mut told: Vec<Vec<u8>> =
            backup.head.slots.iter().map(coffre_backup::StoredSlot::bytes).collect::<Result<_, _>>()?;
        let mut stored: Vec<Vec<u8>> = examined.slots.iter().map(|(_, slot, _)| slot.clone()).collect();
        told.sort();
        stored.sort();
        if told != stored {
            bail!("this backup was changed since it was made: its head names other keys than its rows");
        }
        Ok(examined)
    }

    /// Returns a key file.
    pub(super) fn key_file(&self, name: &str) -> anyhow::Result<&SecretBytes> {
        key_file(&self.key_files, name)
    }
}

fn key_file<'k>(files: &'k [(&'static str, SecretBytes)], name: &str) -> anyhow::Result<&'k SecretBytes> {
    let found = files.iter().find(|(known, _)| *known == name);
    found.map(|(_, key)| key).with_context(|| changed(&format!("{name} is missing in it")))
}

fn changed(what: &str) -> String {
    format!("this backup was changed since it was made: {what}")
}

/// Takes a number that something was counted up to.
fn counted(last_id: &mut i64, number: i64, is_id: bool) -> anyhow::Result<()> {
    if !afterwards::is_counted_up_to(number) {
        bail!(changed("it holds a number that nobody counted up to, and above which none would be left"));
    }
    if is_id {
        *last_id = (*last_id).max(number);
    }
    Ok(())
}

struct Looking<'r> {
    root: &'r RootKey,
    key_files: Vec<(&'static str, SecretBytes)>,
    services: Vec<(String, Vec<String>)>,
    table: (String, Vec<Column>),
    slots: Vec<(i64, Vec<u8>, i64)>,
    terms: Vec<WrappedTerm>,
    keyring: Option<OpenKeyring>,
    rows: u64,
    values: u64,
    damaged: u64,
    named: Vec<String>,
    last_id: i64,
    log: Log,
}

impl<'r> Looking<'r> {
    fn new(root: &'r RootKey) -> Self {
        Self {
            root,
            key_files: Vec::new(),
            services: Vec::new(),
            table: (String::new(), Vec::new()),
            slots: Vec::new(),
            terms: Vec::new(),
            keyring: None,
            rows: 0,
            values: 0,
            damaged: 0,
            named: Vec::new(),
            last_id: 0,
            log: Log::default(),
        }
    }

    fn at(&mut self, record: Record) -> anyhow::Result<()> {
        match record {
            Record::KeyFile { name, bytes } => self.key(&name, bytes)?,
            Record::Service { name, versions } => self.services.push((name, versions)),
            Record::Table { name, columns } => {
                if name == "attribute_values" {
                    let opened = OpenKeyring::open(self.root, &self.terms);
                    let opened = opened.map_err(|_| {
                        anyhow!("the data keys in the backup do not open under its root key (table terms)")
                    })?;
                    self.keyring = Some(opened);
                }
                self.table = (name, columns);
            }
            Record::Rows(rows) => rows.iter().try_for_each(|row| self.row(row))?,
            Record::Counter { last, .. } => counted(&mut self.last_id, last, true)?,
            Record::End { .. } => {}
        }
        Ok(())
    }

    /// Takes a key file that belongs into a backup, once. What a file calls one is never a name on a disk.
    fn key(&mut self, name: &str, bytes: SecretBytes) -> anyhow::Result<()> {
        let Some(known) = keys::IN_BACKUPS.into_iter().find(|known| *known == name) else {
            bail!(changed("it holds a key file that belongs into no backup"));
        };
        if self.key_files.iter().any(|(there, _)| *there == known) {
            bail!(changed(&format!("it holds {known} twice")));
        }
        if bytes.len() != keys::KEY_BYTES {
            bail!(changed(&format!("its {known} is no key")));
        }
        self.key_files.push((known, bytes));
        Ok(())
    }

    fn row(&mut self, row: &Row) -> anyhow::Result<()> {
        self.rows += 1;
        let service = self.services.last().map_or("", |(name, _)| name.as_str());
        let columns = Columns(&self.table.1);
        match (service, self.table.0.as_str()) {
            ("vault", "key_slots") => {
                let slot = (
                    columns.number(row, "kind")?,
                    columns.bytes(row, "slot")?.to_vec(),
                    columns.number(row, "created_at")?,
                );
                self.slots.push(slot);
            }
            ("vault", "terms") => {
                let term = u32::try_from(columns.number(row, "term")?).context("a term is out of range")?;
                self.terms
                    .push(WrappedTerm { term: Term::new(term), wrapped: columns.bytes(row, "wrapped")?.to_vec() });
            }
            ("vault", "attribute_values") => self.value(row)?,
            ("audit", "log_head") => self.log = Log::of(&columns, row)?,
            // Attempts are numbered by the clock; they are no ids.
            ("auth", "id_counters") if columns.text(row, "name")? != "deletions" => {
                counted(&mut self.last_id, columns.number(row, "last")?, true)?;
            }
            ("auth", "signing_keys") => self.signing_key(row)?,
            _ => {}
        }
        for (column, cell) in self.table.1.iter().zip(row) {
            if let (true, Bind::Integer(Some(number))) = (afterwards::counts(&column.name), cell) {
                counted(&mut self.last_id, *number, afterwards::is_id(&column.name))?;
            }
        }
        Ok(())
    }

    fn signing_key(&self, row: &Row) -> anyhow::Result<()> {
        let key = key_file(&self.key_files, "auth.key")?;
        if vouched::opens(key, &Columns(&self.table.1), row)? {
            return Ok(());
        }
        bail!(changed("its auth.key is not the one of its signing keys"))
    }

    fn value(&mut self, row: &Row) -> anyhow::Result<()> {
        let columns = Columns(&self.table.1);
        let user = columns.number(row, "user_id")?;
        let place = Place {
            tenant: columns.number(row, "tenant_id")?,
            credential: columns.number(row, "credential_id")?,
            attribute: columns.number(row, "attribute_id")?,
            user: (user != 0).then_some(user),
            value: columns.number(row, "id")?,
            version: columns.number(row, "version")?,
        };
        let keyring = self.keyring.as_ref().context("the data keys come after the values")?;
        self.values += 1;
        if let Err(error) = keyring.open_value(&place, columns.bytes(row, "sealed")?) {
            self.damaged += 1;
            if self.named.len() < NAMED {
                let of = place.user.map_or_else(String::new, |user| format!(" of user {user}"));
                let (value, attribute, credential) = (place.value, place.attribute, place.credential);
                self.named
                    .push(format!("value {value}{of}, attribute {attribute} of credential {credential}: {error}"));
            }
        }
        Ok(())
    }

    fn end(self) -> anyhow::Result<Examined> {
        let mut names: Vec<&str> = self.services.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut known = SERVICES;
        known.sort_unstable();
        if names != known {
            bail!("the backup holds the services {}, and this program knows {}", names.join(", "), known.join(", "));
        }
        let keyring = self.keyring.context("the backup holds no values")?;
        keys::IN_BACKUPS.into_iter().try_for_each(|name| key_file(&self.key_files, name).map(|_| ()))?;
        let signing = signed::signing_key(self.log.key(), key_file(&self.key_files, "checkpoint.key")?)?;
        let signing =
            signing.with_context(|| changed("its checkpoint.key is not the one that signed its audit log"))?;
        Ok(Examined {
            key_files: self.key_files,
            signed_with: signing.verifier().clone(),
            services: self.services,
            slots: self.slots,
            keyring,
            rows: self.rows,
            values: self.values,
            damaged: self.damaged,
            named: self.named,
            last_id: self.last_id,
            log: self.log,
        })
    }
}

#[cfg(test)]
mod tests {
    use coffre_db::copy::Kind;

    use super::*;

    fn key_record(name: &str, bytes: usize) -> Record {
        Record::KeyFile { name: name.to_owned(), bytes: SecretBytes::new(vec![7; bytes]) }
    }

    fn table(service: &str, table: &str, columns: &[(&str, Kind)]) -> [Record; 2] {
        let column = |(name, kind): &(&str, Kind)| Column { name: (*name).to_owned(), kind: *kind };
        let service = Record::Service { name: service.to_owned(), versions: Vec::new() };
        [service, Record::Table { name: table.to_owned(), columns: columns.iter().map(column).collect() }]
    }

    /// Why these records are refused at the last of them.
    #[track_caller]
    fn refused(records: impl IntoIterator<Item = Record>) -> String {
        let root = RootKey::generate().unwrap();
        let mut looking = Looking::new(&root);
        let mut records: Vec<_> = records.into_iter().collect();
        let last = records.pop().unwrap();
        records.into_iter().for_each(|record| looking.at(record).unwrap());
        let said = looking.at(last).unwrap_err().to_string();
        assert!(said.contains("was changed since it was made"), "{said}");
        said
    }

    #[test]
    fn no_key_file_but_the_three_is_taken_each_once_and_whole() {
        let root = RootKey::generate().unwrap();
        let mut looking = Looking::new(&root);
        keys::IN_BACKUPS.into_iter().for_each(|name| looking.at(key_record(name, 32)).unwrap());
        let names: Vec<_> = looking.key_files.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, keys::IN_BACKUPS);
        for name in ["express.key", "../../cron.d/x", "/etc/x", "./auth.key", "auth.key/", "", "AUTH.KEY", "auth.key\0"]
        {
            assert!(refused([key_record(name, 32)]).contains("belongs into no backup"), "{name:?}");
        }
        for bytes in [0, 31, 33] {
            assert!(refused([key_record("auth.key", bytes)]).contains("is no key"));
        }
        assert!(refused([key_record("audit.key", 32), key_record("audit.key", 32)]).contains("twice"));
    }

    #[test]
    fn a_backup_without_one_of_them_is_refused() {
        let root = RootKey::generate().unwrap();
        for missing in keys::IN_BACKUPS {
            let mut looking = Looking::new(&root);
            keys::IN_BACKUPS
                .into_iter()
                .filter(|name| *name != missing)
                .for_each(|name| looking.at(key_record(name, 32)).unwrap());
            let refused = key_file(&looking.key_files, missing).unwrap_err().to_string();
            assert!(refused.contains(missing) && refused.contains("was changed"), "{refused}");
        }
    }

    #[test]
    fn an_auth_key_that_does_not_open_the_signing_keys_is_refused() {
        let columns = [("kid", Kind::Text), ("public_key", Kind::Bytes), ("sealed_private", Kind::Bytes)];
        let row = vec![Bind::from("a"), Bind::from(&[1_u8; 32][..]), Bind::from(&[2_u8; 60][..])];
        let [service, table] = table("auth", "signing_keys", &columns);
        assert!(
            refused([key_record("auth.key", 32), service, table, Record::Rows(vec![row])])
                .contains("its auth.key is not")
        );
    }

    #[test]
    fn a_checkpoint_key_that_did_not_sign_the_log_is_refused() {
        let seed = |of: u8| SecretBytes::new(vec![of; 32]);
        let log_key = |of| signed::signing_key(None, &seed(of)).unwrap().unwrap().verifier().to_string();
        for (of, is_its_own) in [(7, true), (8, false)] {
            let root = RootKey::generate().unwrap();
            let mut looking = Looking::new(&root);
            keys::IN_BACKUPS.into_iter().for_each(|name| looking.at(key_record(name, 32)).unwrap());
            let terms = vec![root.new_term(Term::FIRST).unwrap()];
            looking.keyring = Some(OpenKeyring::open(&root, &terms).unwrap());
            let of_service = |name: &str| Record::Service { name: name.to_owned(), versions: Vec::new() };
            ["vault", "locker", "auth"].into_iter().for_each(|name| looking.at(of_service(name)).unwrap());
            let columns = [("size", Kind::Integer), ("verifier_key", Kind::Text)];
            table("audit", "log_head", &columns).into_iter().for_each(|record| looking.at(record).unwrap());
            let row = vec![Bind::from(3_i64), Bind::from(log_key(of).as_str())];
            looking.at(Record::Rows(vec![row])).unwrap();
            match looking.end() {
                Ok(examined) => assert!(is_its_own && examined.signed_with.to_string() == log_key(7)),
                Err(error) => {
                    assert!(!is_its_own && error.to_string().contains("its checkpoint.key is not"), "{error}")
                }
            }
        }
    }

    #[test]
    fn numbers_above_which_none_would_be_left_are_refused() {
        for (column, number) in [("id", i64::MAX), ("user_id", 1 << 53), ("epoch", i64::MAX), ("sequence", i64::MAX)] {
            let [service, table] = table("locker", "things", &[(column, Kind::Integer)]);
            let rows = Record::Rows(vec![vec![Bind::from(3_i64)], vec![Bind::from(number)]]);
            assert!(refused([service, table, rows]).contains("nobody counted up to"), "{column}");
        }
        let [service, _] = table("locker", "things", &[]);
        let counter = |last| Record::Counter { table: "things".to_owned(), last };
        refused([service, counter(4), counter(i64::MAX - 1)]);
    }
}
