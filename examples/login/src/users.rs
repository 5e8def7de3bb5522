use bondify_axum::TelegramUser;
use sqlx::{AnyPool, any::install_default_drivers};

/// The users and their sessions, in SQLite or PostgreSQL.
#[derive(Clone, Debug)]
pub struct Users(AnyPool);

pub(crate) struct User {
    pub(crate) telegram_id: String,
    pub(crate) name: String,
    pub(crate) username: Option<String>,
}

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS accounts (
        telegram_id TEXT PRIMARY KEY, name TEXT NOT NULL, username TEXT
    )",
    "CREATE TABLE IF NOT EXISTS sessions (
        id TEXT PRIMARY KEY, telegram_id TEXT NOT NULL REFERENCES accounts (telegram_id)
    )",
];

impl Users {
    /// Connects to `sqlite:PATH` or `postgres://…`, and creates the tables.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn connect(url: &str) -> sqlx::Result<Self> {
        install_default_drivers();
        let pool = AnyPool::connect(url).await?;
        for table in TABLES {
            sqlx::query(table).execute(&pool).await?;
        }
        Ok(Self(pool))
    }

    /// Writes the user as Telegram has them now, and returns the id of a new session.
    pub(crate) async fn sign_in(&self, user: &TelegramUser) -> sqlx::Result<String> {
        const UPSERT: &str = "INSERT INTO accounts VALUES ($1, $2, $3) ON CONFLICT (telegram_id)
            DO UPDATE SET name = excluded.name, username = excluded.username";
        let session = random_id();
        let mut transaction = self.0.begin().await?;
        sqlx::query(UPSERT)
            .bind(user.id().as_str())
            .bind(user.name())
            .bind(user.username())
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO sessions VALUES ($1, $2)")
            .bind(&*session)
            .bind(user.id().as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(session)
    }

    pub(crate) async fn of(&self, session: &str) -> sqlx::Result<Option<User>> {
        const USER: &str = "SELECT accounts.telegram_id, name, username FROM accounts
            JOIN sessions ON sessions.telegram_id = accounts.telegram_id WHERE id = $1";
        let row = sqlx::query_as(USER).bind(session).fetch_optional(&self.0).await?;
        Ok(row.map(|(telegram_id, name, username)| User { telegram_id, name, username }))
    }

    pub(crate) async fn sign_out(&self, session: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM sessions WHERE id = $1").bind(session).execute(&self.0).await?;
        Ok(())
    }
}

/// 128 random bits that nobody guesses.
fn random_id() -> String {
    let [a, b] = [(); 2].map(|()| getrandom::u64().expect("the system has randomness"));
    format!("{a:016x}{b:016x}")
}
