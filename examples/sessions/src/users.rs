use bondify_axum::TelegramUser;
use sqlx::SqlitePool;

/// The users, in SQLite.
#[derive(Clone, Debug)]
pub struct Users(SqlitePool);

/// A user who may sign in.
#[derive(Clone, Debug)]
pub struct User {
    /// The key in the table.
    pub id: i64,
    /// The name that the user has in this app.
    pub name: String,
    /// The text that a session keeps. [`Users::of`] finds the user by it.
    pub session: String,
}

/// A sign-in in the past.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The date and the time, in UTC.
    pub at: String,
    /// The header `User-Agent` of the browser.
    pub browser: String,
}

type Row = (i64, String, i64);

fn user((id, name, number): Row) -> User {
    User { id, name, session: format!("{id}.{number}") }
}

impl Users {
    /// Opens the database, and creates the tables if it has none.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn open(url: &str) -> sqlx::Result<Self> {
        let pool = SqlitePool::connect(url).await?;
        let tables: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_master").fetch_one(&pool).await?;
        if tables == 0 {
            sqlx::raw_sql(include_str!("../users.sql")).execute(&pool).await?;
            sqlx::raw_sql(include_str!("../sign_in.sql")).execute(&pool).await?;
        }
        Ok(Self(pool))
    }

    /// Finds the user of the Telegram account, or creates one, and records the sign-in. `None` if the user is
    /// banned.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn sign_in(
        &self,
        user: &TelegramUser,
        browser: Option<&str>,
    ) -> sqlx::Result<Option<User>> {
        sqlx::query("INSERT INTO users (telegram_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(user.id().as_str())
            .bind(user.name())
            .execute(&self.0)
            .await?;
        let row: Option<Row> = sqlx::query_as(
            "SELECT id, name, session_number FROM users WHERE telegram_id = ? AND NOT is_banned",
        )
        .bind(user.id().as_str())
        .fetch_optional(&self.0)
        .await?;
        let Some(user) = row.map(self::user) else { return Ok(None) };
        sqlx::query("INSERT INTO sign_ins (user_id, browser) VALUES (?, ?)")
            .bind(user.id)
            .bind(browser.unwrap_or("unknown"))
            .execute(&self.0)
            .await?;
        Ok(Some(user))
    }

    /// The user of a session. `None` if the session was ended everywhere, or the user is banned.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn of(&self, session: &str) -> sqlx::Result<Option<User>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT id, name, session_number FROM users
             WHERE id || '.' || session_number = ? AND NOT is_banned",
        )
        .bind(session)
        .fetch_optional(&self.0)
        .await?;
        Ok(row.map(user))
    }

    /// Links a Telegram account to a user, in place of the one before. Returns whether it was possible: an account
    /// belongs to one user.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn link(&self, user: &User, telegram: &TelegramUser) -> sqlx::Result<bool> {
        let linked = sqlx::query("UPDATE OR IGNORE users SET telegram_id = ? WHERE id = ?")
            .bind(telegram.id().as_str())
            .bind(user.id)
            .execute(&self.0)
            .await?;
        Ok(linked.rows_affected() == 1)
    }

    /// Ends all sessions of the user.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn sign_out_everywhere(&self, user: &User) -> sqlx::Result<()> {
        sqlx::query("UPDATE users SET session_number = session_number + 1 WHERE id = ?")
            .bind(user.id)
            .execute(&self.0)
            .await?;
        Ok(())
    }

    /// The last sign-ins of the user, the newest first.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn sign_ins(&self, user: &User) -> sqlx::Result<Vec<SignIn>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT at, browser FROM sign_ins WHERE user_id = ? ORDER BY rowid DESC LIMIT 5",
        )
        .bind(user.id)
        .fetch_all(&self.0)
        .await?;
        Ok(rows.into_iter().map(|(at, browser)| SignIn { at, browser }).collect())
    }
}
