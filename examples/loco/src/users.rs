//! The table of users.

use async_trait::async_trait;
use bondify_axum::TelegramUser;
use sea_orm::{DatabaseConnection, Set, entity::prelude::*, sea_query::OnConflict};
use sea_orm_migration::{MigrationTrait, MigratorTrait, prelude as migration, schema};
use serde::Serialize;

#[derive(Clone, Debug, DeriveEntityModel, Eq, PartialEq, Serialize)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i32,
    #[sea_orm(unique)]
    pub telegram_id: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, DeriveRelation, EnumIter)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Finds the user of the Telegram account, or creates one, with the name that Telegram has now.
pub async fn upsert(db: &DatabaseConnection, user: &TelegramUser) -> Result<Model, DbErr> {
    let user = ActiveModel {
        telegram_id: Set(user.id().as_str().to_owned()),
        name: Set(user.name().to_owned()),
        ..Default::default()
    };
    let exists = OnConflict::column(Column::TelegramId).update_column(Column::Name).to_owned();
    Entity::insert(user).on_conflict(exists).exec_with_returning(db).await
}

pub struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(CreateUsers)]
    }
}

struct CreateUsers;

impl migration::MigrationName for CreateUsers {
    fn name(&self) -> &str {
        "m1_create_users"
    }
}

#[async_trait]
impl MigrationTrait for CreateUsers {
    async fn up(&self, manager: &migration::SchemaManager) -> Result<(), DbErr> {
        let table = migration::Table::create()
            .table(Entity)
            .col(schema::pk_auto(Column::Id))
            .col(schema::string_uniq(Column::TelegramId))
            .col(schema::string(Column::Name))
            .to_owned();
        manager.create_table(table).await
    }
}
