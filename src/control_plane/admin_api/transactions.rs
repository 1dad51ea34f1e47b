//! `POST /transactions`: many writes of the Admin API as one revision, or none of them.

use super::api::Api;
use super::error::ApiError;
use super::reply::Answer;
use super::request::Body;
use super::transaction_request::{Operation, TransactionRequest};
use crate::control_plane::config_store::Transaction;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How many refused operations are told of.
const MOST_LISTED: usize = 100;
/// After which operations are given up: all other writes wait for them.
const TIME_LIMIT: Duration = Duration::from_secs(60);

impl Api {
    /// Does the operations as requests of their own would, each on what the earlier ones left.
    ///
    /// # Errors
    /// Code 2 for a body that is no transaction, a 400 with every operation that was refused, 503
    /// when it took too long. Then nothing is written.
    pub async fn transact(
        &self,
        arguments: &[(String, String)],
        body: Body,
    ) -> Result<Answer, ApiError> {
        let request = TransactionRequest::read(arguments, body)?;
        let trying = self.in_transaction(async |inside| inside.attempt(request.operations).await);
        let (transaction, results) = trying.await?;
        if !request.dry_run {
            let revision = self.store.commit(transaction).await?.revision;
            let body = json!({"revision": revision, "dry_run": false, "results": results});
            return Ok(Answer::Json(200, body));
        }
        let (revision, changes) = (transaction.base(), transaction.difference());
        transaction.roll_back().await?;
        let changes = changes.iter().map(|delta| self.delta(delta));
        let changes = changes.collect::<Result<Vec<_>, _>>()?;
        Ok(Answer::Json(
            200,
            json!({
                "revision": revision,
                "dry_run": true,
                "results": results,
                "changes": changes,
            }),
        ))
    }

    /// Does something inside of a new transaction, which is still open then. When it is refused, all
    /// of it is undone.
    ///
    /// # Errors
    /// What refuses it; 503 when it took too long. The limit is not that of the commit, which has
    /// its own: 503 promises that nothing was written.
    pub async fn in_transaction<T>(
        &self,
        work: impl AsyncFnOnce(&Api) -> Result<T, ApiError>,
    ) -> Result<(Transaction, T), ApiError> {
        let doing = async {
            let transaction = Arc::new(self.store.begin().await?);
            let inside = self.inside(Arc::clone(&transaction));
            let done = work(&inside).await;
            drop(inside);
            let transaction = Arc::into_inner(transaction).ok_or(ApiError::Internal)?;
            match done {
                Ok(done) => Ok((transaction, done)),
                Err(refused) => {
                    transaction.roll_back().await?;
                    Err(refused)
                }
            }
        };
        let doing = tokio::time::timeout(TIME_LIMIT, doing);
        doing.await.unwrap_or(Err(ApiError::Busy))
    }

    /// Does all of the operations, each on what the earlier ones left.
    async fn attempt(&self, operations: Vec<Operation>) -> Result<Vec<Value>, ApiError> {
        let asked = operations.len();
        let mut results = Vec::with_capacity(asked);
        let mut violations = Vec::new();
        let mut refused = 0;
        for (place, operation) in operations.into_iter().enumerate() {
            match self.operate(operation).await {
                Ok(result) => results.push(result),
                // Nothing that could be said of the others would be sure.
                Err(error @ (ApiError::Internal | ApiError::Busy | ApiError::Unavailable)) => {
                    return Err(error);
                }
                Err(error) => {
                    refused += 1;
                    if refused <= MOST_LISTED {
                        violations.push(json!({
                            "operation": place,
                            "status": error.status(),
                            "body": error.body(),
                        }));
                    }
                }
            }
        }
        match refused {
            0 => Ok(results),
            refused => Err(ApiError::TransactionRefused {
                asked,
                refused,
                violations,
            }),
        }
    }

    /// What the operation's request alone would have been answered.
    async fn operate(&self, operation: Operation) -> Result<Value, ApiError> {
        let Operation {
            method,
            endpoint,
            body,
        } = operation;
        let endpoint = endpoint.ok_or(ApiError::NotFound)?;
        if !endpoint.has(method) {
            return Err(ApiError::MethodNotAllowed);
        }
        let (status, body) = match self.entity_endpoint(endpoint, method, &[], body).await? {
            Answer::Json(status, body) | Answer::JsonWith(status, body, _) => (status, body),
            _ => (204, Value::Null),
        };
        Ok(json!({"status": status, "body": body}))
    }
}
