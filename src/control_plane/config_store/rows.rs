//! Documents in and out of one table: the same code for every entity type.

use super::database::Db;
use super::filter::{Filter, column, condition};
use super::{Document, StoreError};
use crate::model::Kind;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sea_orm::sea_query::{Iden, OnConflict};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait,
    IdenStatic, IntoActiveModel, Iterable, Order, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::str::FromStr;
use uuid::Uuid;

/// Rows in one statement, well under the engines' limits on parameters (SQLite 32 766,
/// PostgreSQL 65 535) for the widest table.
const CHUNK: usize = 500;

pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// What a table can do, whatever its entity.
pub(super) trait Rows: Send + Sync {
    /// The table's name.
    #[cfg(test)]
    fn name(&self) -> String;
    /// The column that holds a field of the document.
    fn column(&self, field: &str) -> Option<String>;
    /// Inserts new rows and returns them as the database holds them, in the same order.
    fn insert<'a>(&'a self, db: &'a Db<'a>, documents: &'a [Document])
    -> Answer<'a, Vec<Document>>;
    /// The same, replacing rows with the same ids. No two of the documents may have the same.
    fn upsert<'a>(&'a self, db: &'a Db<'a>, documents: &'a [Document])
    -> Answer<'a, Vec<Document>>;
    /// Replaces the row with this id; none when there is no such row.
    fn update<'a>(&'a self, db: &'a Db<'a>, document: &'a Document)
    -> Answer<'a, Option<Document>>;
    /// Deletes rows by id.
    fn delete<'a>(&'a self, db: &'a Db<'a>, ids: &'a [Uuid]) -> Answer<'a, ()>;
    /// Rows that fulfil all filters, by ascending id.
    fn select<'a>(
        &'a self,
        db: &'a Db<'a>,
        filters: Vec<Filter>,
        limit: Option<u64>,
    ) -> Answer<'a, Vec<Document>>;
    /// The ids of rows that fulfil all filters.
    fn ids<'a>(&'a self, db: &'a Db<'a>, filters: Vec<Filter>) -> Answer<'a, Vec<Uuid>>;
    fn count<'a>(&'a self, db: &'a Db<'a>, filters: Vec<Filter>) -> Answer<'a, u64>;
}

/// [`Rows`] of an entity type.
pub(super) struct TypedRows<E> {
    kind: Kind,
    entity: PhantomData<fn() -> E>,
}

impl<E> TypedRows<E> {
    pub const fn new(kind: Kind) -> TypedRows<E> {
        TypedRows {
            kind,
            entity: PhantomData,
        }
    }
}

impl<E> Rows for TypedRows<E>
where
    E: EntityTrait,
    E::Model: Serialize + DeserializeOwned + IntoActiveModel<E::ActiveModel> + Sync,
    E::ActiveModel: ActiveModelBehavior + Send,
{
    #[cfg(test)]
    fn name(&self) -> String {
        E::default().table_name().to_owned()
    }

    fn column(&self, field: &str) -> Option<String> {
        E::Column::from_str(field)
            .ok()
            .map(|column| Iden::to_string(&column))
    }

    fn insert<'a>(
        &'a self,
        db: &'a Db<'a>,
        documents: &'a [Document],
    ) -> Answer<'a, Vec<Document>> {
        self.put(db, documents, None).boxed()
    }

    fn upsert<'a>(
        &'a self,
        db: &'a Db<'a>,
        documents: &'a [Document],
    ) -> Answer<'a, Vec<Document>> {
        async move {
            let id = column::<E>(self.kind, "id")?;
            let others = E::Column::iter().filter(|column| column.as_str() != "id");
            let replace = OnConflict::column(id).update_columns(others).to_owned();
            self.put(db, documents, Some(replace)).await
        }
        .boxed()
    }

    fn update<'a>(
        &'a self,
        db: &'a Db<'a>,
        document: &'a Document,
    ) -> Answer<'a, Option<Document>> {
        async move {
            match E::update(self.active(document)?).exec(db).await {
                Ok(model) => self.document(&model).map(Some),
                Err(DbErr::RecordNotUpdated) => Ok(None),
                Err(err) => Err(err.into()),
            }
        }
        .boxed()
    }

    fn delete<'a>(&'a self, db: &'a Db<'a>, ids: &'a [Uuid]) -> Answer<'a, ()> {
        async move {
            let id = column::<E>(self.kind, "id")?;
            for chunk in ids.chunks(CHUNK) {
                E::delete_many()
                    .filter(id.is_in(chunk.iter().copied()))
                    .exec(db)
                    .await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn select<'a>(
        &'a self,
        db: &'a Db<'a>,
        filters: Vec<Filter>,
        limit: Option<u64>,
    ) -> Answer<'a, Vec<Document>> {
        async move {
            let models = E::find()
                .filter(condition::<E>(
                    self.kind,
                    db.get_database_backend(),
                    filters,
                )?)
                .order_by(column::<E>(self.kind, "id")?, Order::Asc)
                .limit(limit)
                .all(db)
                .await?;
            models.iter().map(|model| self.document(model)).collect()
        }
        .boxed()
    }

    fn ids<'a>(&'a self, db: &'a Db<'a>, filters: Vec<Filter>) -> Answer<'a, Vec<Uuid>> {
        async move {
            let id = column::<E>(self.kind, "id")?;
            let ids = E::find()
                .select_only()
                .column(id)
                .filter(condition::<E>(
                    self.kind,
                    db.get_database_backend(),
                    filters,
                )?)
                .order_by(id, Order::Asc)
                .into_tuple()
                .all(db)
                .await?;
            Ok(ids)
        }
        .boxed()
    }

    fn count<'a>(&'a self, db: &'a Db<'a>, filters: Vec<Filter>) -> Answer<'a, u64> {
        async move {
            let condition = condition::<E>(self.kind, db.get_database_backend(), filters)?;
            Ok(E::find().filter(condition).count(db).await?)
        }
        .boxed()
    }
}

impl<E> TypedRows<E>
where
    E: EntityTrait,
    E::Model: Serialize + DeserializeOwned + IntoActiveModel<E::ActiveModel> + Sync,
    E::ActiveModel: ActiveModelBehavior + Send,
{
    /// Puts rows and returns them as the database holds them, in the order they were given.
    async fn put(
        &self,
        db: &Db<'_>,
        documents: &[Document],
        on_conflict: Option<OnConflict>,
    ) -> Result<Vec<Document>, StoreError> {
        let mut stored = HashMap::with_capacity(documents.len());
        for chunk in documents.chunks(CHUNK) {
            let rows: Vec<_> = chunk
                .iter()
                .map(|document| self.active(document))
                .collect::<Result<_, _>>()?;
            let mut insert = E::insert_many(rows);
            if let Some(on_conflict) = &on_conflict {
                insert = insert.on_conflict(on_conflict.clone());
            }
            for model in insert.exec_with_returning(db).await? {
                let document = self.document(&model)?;
                stored.insert(document.get("id").cloned().unwrap_or_default(), document);
            }
        }
        // Neither engine promises to return the rows in the order they were given.
        let in_order = |document: &Document| stored.remove(document.get("id")?);
        let returned: Option<Vec<_>> = documents.iter().map(in_order).collect();
        returned.ok_or_else(|| unreadable(self.kind, "a row that was put was not returned"))
    }

    /// Every column set, so that an update writes them all.
    fn active(&self, document: &Document) -> Result<E::ActiveModel, StoreError> {
        let model: E::Model = serde_json::from_value(Value::Object(document.clone()))
            .map_err(|err| malformed::<E::Model>(self.kind, document, &err))?;
        Ok(model.into_active_model().reset_all())
    }

    fn document(&self, model: &E::Model) -> Result<Document, StoreError> {
        match serde_json::to_value(model) {
            Ok(Value::Object(document)) => Ok(document),
            Ok(_) => Err(unreadable(self.kind, "a row is no object")),
            Err(err) => Err(unreadable(self.kind, &err.to_string())),
        }
    }
}

fn unreadable(kind: Kind, reason: &str) -> StoreError {
    StoreError::Unreadable(format!("{kind}: {reason}"))
}

/// Names the field: the one without which the error is another.
fn malformed<M: DeserializeOwned>(
    kind: Kind,
    document: &Document,
    err: &serde_json::Error,
) -> StoreError {
    let message = err.to_string();
    let is_culprit = |field: &&String| {
        let mut others = document.clone();
        others.shift_remove(field.as_str());
        let same = |other: serde_json::Error| other.to_string() == message;
        !serde_json::from_value::<M>(Value::Object(others)).is_err_and(same)
    };
    // serde quotes the missing field and, after "expected", only types: values stay out of errors.
    let quoted = message
        .split('`')
        .nth(1)
        .filter(|_| message.starts_with("missing field"));
    let field = match quoted {
        Some(field) => field.to_owned(),
        None => document
            .keys()
            .find(is_culprit)
            .cloned()
            .unwrap_or_default(),
    };
    let reason = match message.split_once(", expected ") {
        Some((_, expected)) if !message.starts_with("unknown field") => {
            format!("expected {expected}")
        }
        _ => message.split(" `").next().unwrap_or_default().to_owned(),
    };
    StoreError::Malformed {
        kind,
        field,
        reason,
    }
}
