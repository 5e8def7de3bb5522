use std::fmt;

use tempfile::TempDir;
use test_engines::{Engine, PgBouncer, Proxy, Upstream};

/// The store that the receivers share.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no third kind")]
pub enum Store {
    /// A server.
    Engine(Box<Engine>),
    /// A server behind a pooler, which keeps running while the server is restarted.
    Pooled(Box<Engine>, PgBouncer),
    /// A folder with an SQLite file.
    File(TempDir),
}

impl Store {
    /// Starts the engine. `None` if it is not installed.
    #[must_use]
    pub fn redis() -> Option<Self> {
        Engine::redis().map(Box::new).map(Self::Engine)
    }

    /// Starts the engine. `None` if it is not installed.
    #[must_use]
    pub fn postgres() -> Option<Self> {
        Engine::postgres().map(Box::new).map(Self::Engine)
    }

    /// Starts the engine. `None` if it is not installed.
    #[must_use]
    pub fn mariadb() -> Option<Self> {
        Engine::mariadb().map(Box::new).map(Self::Engine)
    }

    /// Starts a PostgreSQL behind a PgBouncer in transaction mode. `None` if one is not installed.
    #[must_use]
    pub fn pooled_postgres() -> Option<Self> {
        let engine = Engine::postgres()?;
        let pooler = PgBouncer::transaction_mode(&engine.postgres_socket())?;
        Some(Self::Pooled(Box::new(engine), pooler))
    }

    /// Creates a folder for an SQLite file.
    ///
    /// # Panics
    ///
    /// If the folder cannot be created.
    #[must_use]
    pub fn sqlite() -> Self {
        Self::File(tempfile::tempdir().expect("there is room for a folder"))
    }

    /// Its URL: `redis+unix://…`, `postgres://…`, `mysql://…` or `sqlite:PATH`.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Engine(engine) => engine.url().to_owned(),
            Self::Pooled(_, pooler) => pooler.url("postgres"),
            Self::File(folder) => format!("sqlite:{}", folder.path().join("events.db").display()),
        }
    }
}

impl Store {
    /// The name of an engine, as a program's argument has it. `None` if there is no such engine, or if it
    /// is not installed.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "redis" => Self::redis(),
            "postgres" => Self::postgres(),
            "mariadb" => Self::mariadb(),
            "sqlite" => Some(Self::sqlite()),
            _ => None,
        }
    }

    /// The socket of a server.
    pub(crate) fn socket(&self) -> Option<Upstream> {
        let Self::Engine(engine) = self else { return None };
        Some(match engine.url().split_once("+unix://") {
            Some((_, path)) => Upstream::Unix(path.into()),
            None if engine.url().starts_with("mysql") => engine.mariadb_socket(),
            None => engine.postgres_socket(),
        })
    }

    /// The URL of a server that is reached through a proxy.
    pub(crate) fn url_through(&self, proxy: &Proxy) -> String {
        let url = self.url();
        let address = proxy.address();
        match url.split([':', '+']).next() {
            Some("redis") => format!("redis://{address}"),
            Some("mysql") => format!("mysql://root@{address}/test"),
            _ => format!("postgres://postgres@{address}/postgres"),
        }
    }
}

/// Writes the engine's name.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url().split([':', '+']).next().unwrap_or_default())?;
        f.write_str(if matches!(self, Self::Pooled(..)) { " behind PgBouncer" } else { "" })
    }
}
