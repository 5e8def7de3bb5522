use std::fmt;

use bondify_testkit::engines::{Engine, PgBouncer};
use tempfile::TempDir;

/// The store that the receivers share.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "there is no third kind")]
pub enum Store {
    /// A server.
    Engine(Box<Engine>),
    /// A server, reached through a pooler that outlives its restarts.
    Pooled(Box<Engine>, PgBouncer),
    /// A folder with an SQLite file, which no server stands before.
    File(TempDir),
}

impl Store {
    /// `None` if there is none to start.
    #[must_use]
    pub fn redis() -> Option<Self> {
        Engine::redis().map(Box::new).map(Self::Engine)
    }

    /// `None` if there is none to start.
    #[must_use]
    pub fn postgres() -> Option<Self> {
        Engine::postgres().map(Box::new).map(Self::Engine)
    }

    /// `None` if there is none to start.
    #[must_use]
    pub fn mariadb() -> Option<Self> {
        Engine::mariadb().map(Box::new).map(Self::Engine)
    }

    /// A PostgreSQL behind a PgBouncer in transaction mode. `None` if there is none to start.
    #[must_use]
    pub fn pooled_postgres() -> Option<Self> {
        let engine = Engine::postgres()?;
        let pooler = PgBouncer::transaction_mode(&engine.postgres_socket())?;
        Some(Self::Pooled(Box::new(engine), pooler))
    }

    /// An empty file.
    ///
    /// # Panics
    ///
    /// If there is no room for it.
    #[must_use]
    pub fn sqlite() -> Self {
        Self::File(tempfile::tempdir().expect("there is room for a folder"))
    }

    /// Where it is: `redis+unix://…`, `postgres://…`, `mysql://…` or `sqlite:PATH`.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Engine(engine) => engine.url().to_owned(),
            Self::Pooled(_, pooler) => pooler.url("postgres"),
            Self::File(folder) => format!("sqlite:{}", folder.path().join("events.db").display()),
        }
    }
}

/// Shows which one it is.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url().split([':', '+']).next().unwrap_or_default())?;
        f.write_str(if matches!(self, Self::Pooled(..)) { " behind PgBouncer" } else { "" })
    }
}
