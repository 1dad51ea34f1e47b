//! A small blocking HTTP client: a status, headers and a body, never an error for a status.

use super::PATIENCE;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The JSON body when the status is as expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }
}

/// One request; `Err` when there was no answer at all.
pub fn call(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<Reply, String> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(PATIENCE))
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let text = body.map(Value::to_string);
    if text.is_some() {
        request = request.header("content-type", "application/json");
    }
    let request = request
        .body(text.unwrap_or_default())
        .map_err(|err| err.to_string())?;
    let mut response = agent.run(request).map_err(|err| err.to_string())?;
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(|err| err.to_string())?;
    Ok(Reply {
        status: response.status().as_u16(),
        headers,
        text,
    })
}

pub fn get(url: &str) -> Result<Reply, String> {
    call("GET", url, &[], None)
}

pub fn post(url: &str, body: &Value) -> Result<Reply, String> {
    call("POST", url, &[], Some(body))
}

pub fn delete(url: &str) -> Result<Reply, String> {
    call("DELETE", url, &[], None)
}

/// Bytes to an address, and all bytes that come back until it closes (or is silent for long).
pub fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else {
        return answer;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    if stream.write_all(request).is_ok() {
        // What came before a timeout or a reset is the answer.
        let _ = stream.read_to_end(&mut answer);
    }
    answer
}
