//! The data planes as `GET /clustering/data-planes` lists them.

use super::table::{duration, table};
use crate::cli::CliError;
use crate::cli::ask::Listener;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::time::Instant;

/// Rows that are asked for at a time; fewer, when so many are more than is read.
const PAGE: usize = 1000;
/// Answers that are waited for.
const MOST_PAGES: usize = 1000;
const PATH: &str = "/clustering/data-planes";

/// All data planes, and where the configuration stands.
pub struct Fleet {
    revision: Option<u64>,
    data_planes: Vec<DataPlane>,
}

/// One row.
struct DataPlane {
    id: String,
    name: String,
    ip: String,
    version: String,
    revision: Option<u64>,
    connected: bool,
    sync_status: String,
    last_seen: i64,
    quarantined: Vec<Value>,
    /// Epoch seconds.
    certificate_expiry: Option<i64>,
}

/// How a data plane stands to the latest revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InSync,
    /// By so many revisions.
    Behind(u64),
    Ahead(u64),
    Disconnected,
    /// Turned away: its version does not fit.
    Incompatible,
    /// It has not said yet.
    Unknown,
}

impl State {
    fn of(row: &DataPlane, latest: Option<u64>) -> State {
        let incompatible = row.sync_status.ends_with("_incompatible");
        match (row.connected, row.revision, latest) {
            _ if incompatible => State::Incompatible,
            (false, ..) => State::Disconnected,
            (true, Some(held), Some(latest)) if held < latest => State::Behind(latest - held),
            (true, Some(held), Some(latest)) if held > latest => State::Ahead(held - latest),
            (true, Some(_), Some(_)) => State::InSync,
            (true, ..) => State::Unknown,
        }
    }

    fn word(self) -> &'static str {
        match self {
            State::InSync => "in sync",
            State::Behind(_) => "behind",
            State::Ahead(_) => "ahead",
            State::Disconnected => "disconnected",
            State::Incompatible => "incompatible",
            State::Unknown => "unknown",
        }
    }

    fn text(self) -> String {
        match self {
            State::Behind(by) | State::Ahead(by) => format!("{} by {by}", self.word()),
            other => other.word().to_owned(),
        }
    }
}

impl DataPlane {
    fn of(row: &Value) -> DataPlane {
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        DataPlane {
            id: text("id"),
            name: text("hostname"),
            ip: text("ip"),
            version: match row["langur_version"].as_str() {
                Some(version) => version.to_owned(),
                None => text("version"),
            },
            revision: row["revision"].as_u64(),
            connected: row["connected"] == true,
            sync_status: text("sync_status"),
            last_seen: row["last_seen"].as_i64().unwrap_or_default(),
            quarantined: row["quarantined"].as_array().cloned().unwrap_or_default(),
            certificate_expiry: row["cert_details"]["expiry_timestamp"].as_i64(),
        }
    }
}

impl Fleet {
    /// Reads all pages.
    ///
    /// # Errors
    /// Nobody answers, or it is no Admin API of a control plane.
    pub fn ask(admin: &Listener, deadline: Instant) -> Result<Fleet, CliError> {
        let mut fleet = Fleet {
            revision: None,
            data_planes: Vec::new(),
        };
        let (mut size, mut next) = (PAGE, None::<String>);
        for _ in 0..MOST_PAGES {
            let path = match &next {
                // Only the offset: the size that was asked for stays.
                Some(next) => format!("{next}&size={size}"),
                None => format!("{PATH}?size={size}"),
            };
            let answer = match admin.get(&path, deadline) {
                Ok(answer) => answer,
                // Rows are long where much is quarantined.
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge && size > 1 => {
                    size /= 10;
                    continue;
                }
                Err(error) => {
                    let name = &admin.name;
                    return Err(CliError::Unavailable(format!("{name}: {error}")));
                }
            };
            let body = answer.json();
            let rows = match (answer.status, body["data"].as_array()) {
                (200, Some(rows)) => rows,
                (status, _) => {
                    let message = answer.message();
                    let message = message
                        .as_deref()
                        .unwrap_or("this is no list of data planes");
                    let name = &admin.name;
                    return Err(CliError::Unavailable(format!(
                        "{name} answers {status}: {message}"
                    )));
                }
            };
            let revision = answer.header("x-langur-revision");
            fleet.revision = revision.and_then(|revision| revision.parse().ok());
            fleet.data_planes.extend(rows.iter().map(DataPlane::of));
            next = body["next"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        Ok(fleet)
    }

    fn states(&self) -> impl Iterator<Item = (&DataPlane, State)> {
        let state = |row| (row, State::of(row, self.revision));
        self.data_planes.iter().map(state)
    }

    /// What is not as it should be, if anything.
    pub fn trouble(&self) -> Option<String> {
        let all = self.data_planes.len();
        let astray = self.states().filter(|(_, state)| *state != State::InSync);
        let astray = astray.count();
        let quarantining = self.data_planes.iter();
        let quarantining = quarantining
            .filter(|row| !row.quarantined.is_empty())
            .count();
        let mut parts = Vec::new();
        if astray > 0 {
            parts.push(format!("{astray} of {all} data planes not in sync"));
        }
        if quarantining > 0 {
            parts.push(format!(
                "{quarantining} of {all} data planes with quarantined entities"
            ));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    pub fn json(&self) -> Value {
        let rows: Vec<_> = self
            .states()
            .map(|(row, state)| {
                let by = match state {
                    State::Behind(by) | State::Ahead(by) => Some(by),
                    _ => None,
                };
                json!({
                    "id": row.id,
                    "name": row.name,
                    "ip": row.ip,
                    "version": row.version,
                    "revision": row.revision,
                    "state": state.word(),
                    "revisions_apart": by,
                    "connected": row.connected,
                    "last_seen": row.last_seen,
                    "quarantined": row.quarantined,
                    "certificate_expiry": row.certificate_expiry,
                })
            })
            .collect();
        json!({ "revision": self.revision, "data_planes": rows })
    }

    /// The table, and under it what is quarantined; `now` in epoch seconds.
    pub fn text(&self, now: i64) -> String {
        let dash = || "-".to_owned();
        let rows: Vec<_> = self
            .states()
            .map(|(row, state)| {
                [
                    row.name.clone(),
                    row.id.clone(),
                    row.version.clone(),
                    row.revision
                        .map_or_else(dash, |revision| revision.to_string()),
                    state.text(),
                    format!("{} ago", duration((now - row.last_seen).max(0))),
                    row.quarantined.len().to_string(),
                    match row.certificate_expiry {
                        None => dash(),
                        Some(expiry) if expiry <= now => "expired".to_owned(),
                        Some(expiry) => format!("expires in {}", duration(expiry - now)),
                    },
                ]
            })
            .collect();
        let headings = [
            "NAME",
            "ID",
            "VERSION",
            "REVISION",
            "STATE",
            "LAST SEEN",
            "QUARANTINED",
            "CERTIFICATE",
        ];
        let mut text = match self.revision {
            Some(revision) => format!("revision {revision}\n\n"),
            None => String::new(),
        };
        match rows.is_empty() {
            true => text.push_str("no data planes\n"),
            false => text.push_str(&table(headings, &rows)),
        }
        for row in &self.data_planes {
            for entity in &row.quarantined {
                let part = |field: &str| entity[field].as_str().unwrap_or("-").to_owned();
                let (kind, id, reason) = (part("entity"), part("id"), part("reason"));
                // Writing to a string cannot fail.
                let _ = write!(
                    text,
                    "\nquarantined on {}: {kind}/{id}: {reason}\n",
                    row.name
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::HostPort;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    fn row(connected: bool, revision: Option<u64>, sync_status: &str) -> Value {
        json!({
            "id": "11111111-1111-4111-8111-111111111111",
            "hostname": "dp",
            "ip": "10.0.0.2",
            "version": "3.9.3",
            "langur_version": "0.1.0",
            "connected": connected,
            "revision": revision,
            "sync_status": sync_status,
            "last_seen": 1_000,
            "quarantined": [],
            "cert_details": {"expiry_timestamp": 1_000 + 86_400 * 40},
        })
    }

    /// Answers requests one by one, and returns their first lines.
    fn serve(answers: Vec<String>) -> (HostPort, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = thread::spawn(move || {
            let answer = |body: &String| {
                let (stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
                let first = lines.next().unwrap();
                lines.find(String::is_empty).unwrap();
                // Whoever reads no more has closed.
                let _ = write!(&stream, "HTTP/1.1 200 OK\r\n\r\n{body}");
                first
            };
            answers.iter().map(answer).collect()
        });
        (address.parse().unwrap(), served)
    }

    #[test]
    fn an_answer_that_is_too_long_is_asked_for_in_parts() {
        let long = format!("{{\"data\":[\"{}\"]}}", "x".repeat(17 << 20));
        let page = |next: Value| {
            let row = row(true, Some(7), "normal");
            json!({"data": [row], "next": next}).to_string()
        };
        let next = json!("/clustering/data-planes?offset=abc");
        let (address, served) = serve(vec![long, page(next), page(Value::Null)]);
        let listener = Listener::plain(&address).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let fleet = Fleet::ask(&listener, deadline).unwrap();
        assert_eq!(fleet.data_planes.len(), 2);
        assert_eq!(
            served.join().unwrap(),
            [
                "GET /clustering/data-planes?size=1000 HTTP/1.0",
                "GET /clustering/data-planes?size=100 HTTP/1.0",
                "GET /clustering/data-planes?offset=abc&size=100 HTTP/1.0",
            ]
        );
    }

    #[test]
    fn an_answer_that_is_no_end_says_so() {
        let long = "x".repeat(17 << 20);
        let (address, served) = serve(vec![long; 4]);
        let listener = Listener::plain(&address).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let error = Fleet::ask(&listener, deadline).err().unwrap().to_string();
        assert!(error.contains("the answer has more than 16 MiB"), "{error}");
        assert_eq!(served.join().unwrap().len(), 4);
    }

    #[test]
    fn states() {
        let check = |row: Value, latest: Option<u64>, expected: State| {
            let row = DataPlane::of(&row);
            assert_eq!(State::of(&row, latest), expected);
        };
        check(row(true, Some(7), "normal"), Some(7), State::InSync);
        check(row(true, Some(5), "normal"), Some(7), State::Behind(2));
        check(row(true, Some(9), "normal"), Some(7), State::Ahead(2));
        check(row(false, Some(7), "normal"), Some(7), State::Disconnected);
        let refused = "kong_version_incompatible";
        check(row(false, Some(7), refused), Some(7), State::Incompatible);
        check(row(true, None, "unknown"), Some(7), State::Unknown);
        check(row(true, Some(7), "normal"), None, State::Unknown);
    }

    #[test]
    fn the_table_and_what_is_wrong() {
        let mut broken = row(true, Some(5), "normal");
        broken["quarantined"] = json!([
            {"entity": "plugins", "id": "p", "name": "cors", "reason": "not here"}
        ]);
        let rows = [row(true, Some(7), "normal"), broken];
        let fleet = Fleet {
            revision: Some(7),
            data_planes: rows.iter().map(DataPlane::of).collect(),
        };
        let text = fleet.text(1_090);
        let id = "11111111-1111-4111-8111-111111111111";
        assert_eq!(
            text,
            format!(
                "revision 7\n\n\
                 NAME  ID                                    VERSION  REVISION  STATE        LAST SEEN  QUARANTINED  CERTIFICATE\n\
                 dp    {id}  0.1.0    7         in sync      1 min ago  0            expires in 39 d\n\
                 dp    {id}  0.1.0    5         behind by 2  1 min ago  1            expires in 39 d\n\
                 \nquarantined on dp: plugins/p: not here\n"
            )
        );
        assert_eq!(
            fleet.trouble().as_deref(),
            Some("1 of 2 data planes not in sync, 1 of 2 data planes with quarantined entities")
        );
        let json = fleet.json();
        assert_eq!(json["data_planes"][1]["state"], "behind");
        assert_eq!(json["data_planes"][1]["revisions_apart"], 2);
        let empty = Fleet {
            revision: Some(0),
            data_planes: Vec::new(),
        };
        assert_eq!(
            (empty.text(0).as_str(), empty.trouble()),
            ("revision 0\n\nno data planes\n", None)
        );
    }
}
