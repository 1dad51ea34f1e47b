//! `/telemetry/requests`: how many requests the fleet has served, each counted once.

use super::api::Api;
use super::error::ApiError;
use super::paging;
use super::reply::Answer;
use crate::control_plane::config_store::{Count, CountedBy, InCommon};
use serde_json::{Value, json};

impl Api {
    /// `GET /telemetry/requests?by=service&size=100`: the sums with the most requests first.
    ///
    /// # Errors
    /// `by` is no dimension, or `size` is out of bounds.
    pub async fn request_sums(&self, arguments: &[(String, String)]) -> Result<Answer, ApiError> {
        let by = counted_by(paging::argument(arguments, "by")?)?;
        let (size, _) = paging::asked_size(arguments)?;
        let sums = self.store.store().request_sums(by, size as u64).await?;
        let data: Vec<Value> = sums.into_iter().map(|sum| row(by, sum)).collect();
        Ok(Answer::Json(200, json!({"by": by.as_str(), "data": data})))
    }
}

fn counted_by(asked: Option<&str>) -> Result<CountedBy, ApiError> {
    let asked = asked.unwrap_or(CountedBy::Service.as_str());
    let found = CountedBy::ALL.into_iter().find(|by| by.as_str() == asked);
    found.ok_or_else(|| {
        let known = CountedBy::ALL.map(CountedBy::as_str).join(", ");
        ApiError::BadRequest(format!("by must be one of: {known}"))
    })
}

fn row(by: CountedBy, (in_common, count): (InCommon, Count)) -> Value {
    let key = match in_common {
        InCommon::Status(status) => json!(status),
        InCommon::Entity(id) => id.map_or(Value::Null, |id| json!({"id": id})),
    };
    json!({
        by.as_str(): key,
        "requests": count.requests,
        "request_bytes": count.request_bytes,
        "response_bytes": count.response_bytes,
    })
}
