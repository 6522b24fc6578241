//! What an install has done and knows, durable: an append-only log of events and a table of state, in one embedded
//! store with one writer. Secrets are stored encrypted (`secrets`). Restart = read it and go on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ashlar_model::event::Event;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::secrets::{self, Secrets};

const FORMAT: u32 = 1;
const STATE: TableDefinition<&str, &[u8]> = TableDefinition::new("state");
const SECRETS: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");

pub const FILE: &str = "journal.redb";
const HOLDER: &str = "holder";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the journal {} is in use by {holder}", path.display())]
    Held { path: PathBuf, holder: String },
    #[error("opening the journal {}", path.display())]
    Open { path: PathBuf, source: Box<redb::DatabaseError> },
    #[error("the journal {} has format {found}; this program reads format {FORMAT}", path.display())]
    Format { path: PathBuf, found: u32 },
    #[error("preparing the folder {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("writing `{key}` to the journal")]
    Write { key: String, source: Box<redb::Error> },
    #[error("reading `{key}` from the journal")]
    Read { key: String, source: Box<redb::Error> },
    #[error("understanding `{key}` in the journal")]
    Json { key: String, source: serde_json::Error },
    #[error("the secret `{key}` of the journal")]
    Secret { key: String, source: secrets::Error },
}

#[derive(Clone)]
pub struct Journal {
    database: Arc<Database>,
    secrets: Arc<Secrets>,
    folder: PathBuf,
}

impl Journal {
    /// Opens or makes the journal in `folder`; this process is its only writer until it is dropped.
    ///
    /// # Errors
    /// Another process has it, it is of another format, or its key is missing.
    pub fn open(folder: &Path, cluster: &str, keys: &Path, command: &str) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(|source| Error::Folder { path: folder.to_owned(), source })?;
        let path = folder.join(FILE);
        let database = Arc::new(open_database(&path)?);
        let format: Option<u32> =
            read_raw(&database, STATE, "format")?.map(|bytes| parse("format", &bytes)).transpose()?;
        if let Some(found) = format.filter(|found| *found != FORMAT) {
            return Err(Error::Format { path, found });
        }
        let known: Option<String> =
            read_raw(&database, STATE, "install-id")?.map(|bytes| parse("install-id", &bytes)).transpose()?;
        let secret = |source| Error::Secret { key: "age key".into(), source };
        let (id, secrets) = match known {
            Some(id) => {
                let secrets = Secrets::load(keys, cluster, &id).map_err(secret)?;
                (id, secrets)
            }
            None => {
                let id = hex::encode(rand::random::<[u8; 4]>());
                let secrets = Secrets::create(keys, cluster, &id).map_err(secret)?;
                (id, secrets)
            }
        };
        let journal = Self { database, secrets: Arc::new(secrets), folder: folder.to_owned() };
        journal.put("install-id", &id)?;
        journal.put("format", &FORMAT)?;
        let holder =
            format!("process {} (`{command}`, since {})", std::process::id(), jiff::Timestamp::now());
        let path = folder.join(HOLDER);
        fs::write(&path, holder).map_err(|source| Error::Folder { path, source })?;
        Ok(journal)
    }

    /// # Errors
    /// The store cannot be written.
    pub fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        write_raw(&self.database, STATE, key, &json(key, value)?)
    }

    /// # Errors
    /// The store cannot be read, or holds something else.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        read_raw(&self.database, STATE, key)?.map(|bytes| parse(key, &bytes)).transpose()
    }

    /// As `put`, encrypted with the install's key.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put_secret<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        let sealed = self.secrets.seal(&json(key, value)?);
        let sealed = sealed.map_err(|source| Error::Secret { key: key.to_owned(), source })?;
        write_raw(&self.database, SECRETS, key, &sealed)
    }

    /// # Errors
    /// The store cannot be read, or the key is another one.
    pub fn get_secret<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(sealed) = read_raw(&self.database, SECRETS, key)? else { return Ok(None) };
        let plain = self.secrets.unseal(&sealed);
        let plain = plain.map_err(|source| Error::Secret { key: key.to_owned(), source })?;
        parse(key, &plain).map(Some)
    }

    /// Adds to the log, durable when it returns.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn append(&self, event: &Event) -> Result<(), Error> {
        let bytes = json("log", event)?;
        let act = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(LOG)?;
                let next = table.last()?.map_or(0, |(key, _)| key.value() + 1);
                table.insert(next, bytes.as_slice())?;
            }
            transaction.commit()?;
            Ok(())
        };
        act().map_err(|source| Error::Write { key: "log".into(), source: source.into() })
    }

    /// Every event so far, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn events(&self) -> Result<Vec<Event>, Error> {
        let act = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let transaction = self.database.begin_read()?;
            match transaction.open_table(LOG) {
                Ok(table) => table.iter()?.map(|entry| Ok(entry?.1.value().to_vec())).collect(),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
                Err(error) => Err(error.into()),
            }
        };
        let entries = act().map_err(|source| Error::Read { key: "log".into(), source: source.into() })?;
        entries.iter().map(|bytes| parse("log", bytes)).collect()
    }

    #[cfg(test)]
    pub fn key_file(&self) -> &Path {
        self.secrets.path()
    }

    /// Closes the journal, moves it aside and removes its key: what it holds encrypted is gone.
    ///
    /// # Errors
    /// A file cannot be moved or removed.
    pub fn archive(self, name: &str) -> Result<PathBuf, Error> {
        let Self { database, secrets, folder } = self;
        drop(database);
        let target = folder.join(name);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Folder { path, source }
        };
        fs::create_dir_all(&target).map_err(failed(&target))?;
        fs::rename(folder.join(FILE), target.join(FILE)).map_err(failed(&target))?;
        match fs::remove_file(secrets.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(secrets.path())(error)),
            _ => Ok(target),
        }
    }
}

fn open_database(path: &Path) -> Result<Database, Error> {
    match Database::create(path) {
        Ok(database) => Ok(database),
        Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
            let holder = path.with_file_name(HOLDER);
            let holder = fs::read_to_string(holder).unwrap_or_else(|_| "another process".into());
            Err(Error::Held { path: path.to_owned(), holder })
        }
        Err(source) => Err(Error::Open { path: path.to_owned(), source: source.into() }),
    }
}

type Table = TableDefinition<'static, &'static str, &'static [u8]>;

fn write_raw(database: &Database, table: Table, key: &str, value: &[u8]) -> Result<(), Error> {
    let act = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(table)?.insert(key, value)?;
        transaction.commit()?;
        Ok(())
    };
    act().map_err(|source| Error::Write { key: key.to_owned(), source: source.into() })
}

fn read_raw(database: &Database, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
    let act = || -> Result<Option<Vec<u8>>, redb::Error> {
        match database.begin_read()?.open_table(table) {
            Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    act().map_err(|source| Error::Read { key: key.to_owned(), source: source.into() })
}

fn json<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|source| Error::Json { key: key.to_owned(), source })
}

fn parse<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json { key: key.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::event::What;

    fn open(root: &Path) -> Result<Journal, Error> {
        Journal::open(&root.join(".ashlar"), "demo", &root.join("keys"), "ashlar create cluster")
    }

    fn note(message: &str) -> Event {
        Event { time_ms: 1, host: None, what: What::Note { message: message.into() } }
    }

    #[test]
    fn a_reopened_journal_has_its_state_log_and_secrets_and_no_secret_in_clear() {
        let root = tempfile::tempdir().expect("folder");
        let journal = open(root.path()).expect("new");
        journal.put("host/a", &"written").expect("put");
        journal.put_secret("token/a", &"very-secret-token").expect("put");
        journal.append(&note("one")).expect("append");
        journal.append(&note("two")).expect("append");
        drop(journal);
        let journal = open(root.path()).expect("again");
        assert_eq!(journal.get::<String>("host/a").expect("get").as_deref(), Some("written"));
        assert_eq!(
            journal.get_secret::<String>("token/a").expect("get").as_deref(),
            Some("very-secret-token")
        );
        assert_eq!(journal.events().expect("events"), [note("one"), note("two")]);
        drop(journal);
        let bytes = fs::read(root.path().join(".ashlar").join(FILE)).expect("read");
        assert!(!bytes.windows(17).any(|part| part == b"very-secret-token"));
    }

    #[test]
    fn a_second_writer_learns_who_holds_the_journal() {
        let root = tempfile::tempdir().expect("folder");
        let _first = open(root.path()).expect("first");
        let error = open(root.path()).err().expect("refused").to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }

    #[test]
    fn without_its_key_the_journal_is_refused_and_names_the_file() {
        let root = tempfile::tempdir().expect("folder");
        let key = open(root.path()).expect("first").key_file().to_owned();
        fs::remove_file(&key).expect("remove");
        let error = open(root.path()).err().expect("refused");
        assert!(crate::failure::chain(&error).contains(&key.display().to_string()), "{error}");
    }

    #[test]
    fn an_archived_journal_starts_over_and_loses_its_key() {
        let root = tempfile::tempdir().expect("folder");
        let journal = open(root.path()).expect("first");
        let key = journal.key_file().to_owned();
        journal.put("host/a", &1).expect("put");
        assert!(journal.archive("destroyed-1").expect("archive").join(FILE).exists());
        assert!(!key.exists());
        assert_eq!(open(root.path()).expect("fresh").get::<u32>("host/a").expect("get"), None);
    }
}
