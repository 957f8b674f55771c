//! Reading a backup to its end before anything is written: whether it is whole, and whether every value in it opens.

use anyhow::{Context as _, anyhow, bail};
use coffre_backup::Record;
use coffre_crypto::keyring::{OpenKeyring, RootKey, Term, WrappedTerm};
use coffre_crypto::value::Place;
use coffre_db::Bind;
use coffre_db::copy::{Column, Kind, Row};
use coffre_secret::SecretBytes;

use super::SERVICES;
use super::opening::Opened;
use super::rows::Columns;
use super::witness::Log;
use crate::keys;

/// How many values that do not open are named.
const NAMED: usize = 50;

/// What is in a backup.
pub(super) struct Examined {
    pub(super) key_files: Vec<(String, SecretBytes)>,
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
        let found = self.key_files.iter().find(|(known, _)| known == name);
        found.map(|(_, key)| key).with_context(|| format!("the backup lacks {name}"))
    }
}

struct Looking<'r> {
    root: &'r RootKey,
    key_files: Vec<(String, SecretBytes)>,
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
            Record::KeyFile { name, bytes } => self.key_files.push((name, bytes)),
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
            Record::Counter { last, .. } => self.last_id = self.last_id.max(last),
            Record::End { .. } => {}
        }
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
                self.last_id = self.last_id.max(columns.number(row, "last")?);
            }
            _ => {}
        }
        for (column, cell) in self.table.1.iter().zip(row) {
            let names_something = column.name == "id" || column.name.ends_with("_id");
            if let (Kind::Integer, true, Bind::Integer(Some(id))) = (column.kind, names_something, cell) {
                self.last_id = self.last_id.max(*id);
            }
        }
        Ok(())
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
        let examined = Examined {
            key_files: self.key_files,
            services: self.services,
            slots: self.slots,
            keyring,
            rows: self.rows,
            values: self.values,
            damaged: self.damaged,
            named: self.named,
            last_id: self.last_id,
            log: self.log,
        };
        keys::IN_BACKUPS.into_iter().try_for_each(|name| examined.key_file(name).map(|_| ()))?;
        Ok(examined)
    }
}
