use std::fmt;

use bondify_testkit::engines::{Engine, PgBouncer};
use tempfile::TempDir;

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

/// Writes the engine's name.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url().split([':', '+']).next().unwrap_or_default())?;
        f.write_str(if matches!(self, Self::Pooled(..)) { " behind PgBouncer" } else { "" })
    }
}
