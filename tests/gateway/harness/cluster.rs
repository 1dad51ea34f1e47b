//! A control plane with its data planes: the shape of most tests.

use super::postgres::PostgresDatabase;
use super::{BINARY, Node, Upstream, eventually, free_address, get, post, unique_loopback};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Which database a control plane keeps its configuration in.
#[derive(Clone, Debug)]
pub enum Database {
    Sqlite,
    Postgres(PostgresDatabase),
}

impl Database {
    pub fn fresh_postgres() -> Database {
        Database::Postgres(PostgresDatabase::create())
    }
}

/// Processes with a folder of their own, a cluster certificate and an upstream.
pub struct Cluster {
    pub control_planes: Vec<Node>,
    pub data_planes: Vec<Node>,
    pub upstream: Upstream,
    /// Where the first control plane keeps its configuration.
    pub database: Database,
    folder: TempDir,
}

impl Cluster {
    /// A control plane and `data_planes` data planes, all connected.
    pub fn start(database: Database, data_planes: usize) -> Cluster {
        let mut cluster = Cluster::without_data_planes(database);
        for _ in 0..data_planes {
            cluster.add_data_plane(&[]);
        }
        for n in 0..data_planes {
            cluster.wait_until_connected(n);
        }
        cluster
    }

    pub fn without_data_planes(database: Database) -> Cluster {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Command::new(BINARY)
            .args(["hybrid", "gen_cert"])
            .arg(folder.path())
            .output()
            .expect("gen_cert runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut cluster = Cluster {
            control_planes: Vec::new(),
            data_planes: Vec::new(),
            upstream: Upstream::start("echo"),
            database: database.clone(),
            folder,
        };
        cluster.add_control_plane(database);
        cluster
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn base(&self, role: &str, name: &str) -> BTreeMap<String, String> {
        let path = |name: &str| self.path(name).to_string_lossy().into_owned();
        BTreeMap::from([
            ("role".into(), role.into()),
            ("prefix".into(), path(name)),
            ("cluster_cert".into(), path("cluster.crt")),
            ("cluster_cert_key".into(), path("cluster.key")),
            ("log_level".into(), "debug".into()),
        ])
    }

    /// Another control plane; on PostgreSQL they share the database.
    pub fn add_control_plane(&mut self, database: Database) -> usize {
        let n = self.control_planes.len();
        let ip = unique_loopback();
        let mut settings = self.base("control_plane", &format!("cp{n}"));
        for key in [
            "admin_listen",
            "status_listen",
            "cluster_listen",
            "cluster_telemetry_listen",
        ] {
            settings.insert(key.into(), free_address(ip).to_string());
        }
        if let Database::Postgres(postgres) = database {
            settings.extend([
                ("database".into(), "postgres".into()),
                ("pg_host".into(), postgres.host),
                ("pg_port".into(), postgres.port),
                ("pg_user".into(), postgres.user),
                ("pg_database".into(), postgres.database),
                // Never: what one learns of another came by notification.
                ("db_update_frequency".into(), "86400".into()),
            ]);
        }
        self.control_planes.push(Node::start(settings));
        self.wait_until_ready(n);
        n
    }

    /// Another data plane, connected to all control planes there are; not waited for.
    pub fn add_data_plane(&mut self, extra: &[(&str, &str)]) -> usize {
        self.add_data_plane_of(Path::new(BINARY), extra)
    }

    /// The same, of another build.
    pub fn add_data_plane_of(&mut self, binary: &Path, extra: &[(&str, &str)]) -> usize {
        let n = self.data_planes.len();
        let ip = unique_loopback();
        let mut settings = self.base("data_plane", &format!("dp{n}"));
        settings.insert("status_listen".into(), free_address(ip).to_string());
        let (plain, tls) = (free_address(ip), free_address(ip));
        settings.insert("proxy_listen".into(), format!("{plain}, {tls} ssl"));
        let all = |key: &str| {
            let of = self.control_planes.iter().map(|node| node.setting(key));
            of.collect::<Vec<_>>().join(",")
        };
        settings.insert("cluster_control_plane".into(), all("cluster_listen"));
        // One endpoint is enough: control planes count into one database.
        let counting = self.control_planes[0].setting("cluster_telemetry_listen");
        settings.insert("cluster_telemetry_endpoint".into(), counting.into());
        settings.extend(
            extra
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into())),
        );
        self.data_planes.push(Node::start_of(binary, settings, &[]));
        n
    }

    pub fn admin(&self, n: usize, path: &str) -> String {
        format!(
            "http://{}{path}",
            self.control_planes[n].setting("admin_listen")
        )
    }

    pub fn status_url(&self, node: &Node, path: &str) -> String {
        format!("http://{}{path}", node.setting("status_listen"))
    }

    pub fn proxy(&self, n: usize, path: &str) -> String {
        let listen = self.data_planes[n].setting("proxy_listen");
        format!(
            "http://{}{path}",
            listen.split(',').next().unwrap_or_default()
        )
    }

    pub fn wait_until_ready(&self, n: usize) {
        let url = self.status_url(&self.control_planes[n], "/status/ready");
        eventually("a control plane is ready", || match get(&url)?.status {
            200 => Ok(()),
            other => Err(other.to_string()),
        });
    }

    /// The control plane's row of a data plane.
    pub fn row(&self, control_plane: usize, data_plane: usize) -> Result<Value, String> {
        let id_file = self.data_planes[data_plane].prefix().join("kong.id");
        let id = std::fs::read_to_string(id_file).map_err(|err| err.to_string())?;
        let rows = get(&self.admin(control_plane, "/clustering/data-planes"))?.json();
        let found = rows["data"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["id"] == id.trim());
        found
            .cloned()
            .ok_or_else(|| format!("no row of {id}in {rows}"))
    }

    pub fn wait_until_connected(&self, data_plane: usize) {
        self.wait_until_shown(data_plane, true);
    }

    /// Waits until the control plane knows that the data plane is not there.
    pub fn wait_until_gone(&self, data_plane: usize) {
        self.wait_until_shown(data_plane, false);
    }

    fn wait_until_shown(&self, data_plane: usize, connected: bool) {
        eventually(
            &format!("a data plane shows connected: {connected}"),
            || {
                let row = self.row(0, data_plane)?;
                match row["connected"] == connected {
                    true => Ok(()),
                    false => Err(row.to_string()),
                }
            },
        );
    }

    /// Waits until the data plane has the control plane's latest revision in effect.
    pub fn wait_until_in_sync(&self, control_plane: usize, data_plane: usize) -> Value {
        eventually("a data plane is in sync", || {
            let newest = get(&self.admin(control_plane, "/clustering/data-planes"))?;
            let newest = newest
                .header("x-langur-revision")
                .unwrap_or_default()
                .to_owned();
            let row = self.row(control_plane, data_plane)?;
            if row["connected"] == true && row["revision"].as_u64() == newest.parse().ok() {
                Ok(row)
            } else {
                Err(format!("newest {newest}, {row}"))
            }
        })
    }

    /// A service to the upstream with one route.
    pub fn add_route(&self, name: &str, path: &str) {
        let service = json!({"name": name, "url": format!("http://{}", self.upstream.address)});
        post(&self.admin(0, "/services"), &service)
            .expect("an answer")
            .expect(201);
        let route = json!({"name": name, "paths": [path]});
        let url = self.admin(0, &format!("/services/{name}/routes"));
        post(&url, &route).expect("an answer").expect(201);
    }

    /// Waits until a data plane answers a path with this status.
    pub fn wait_for_status(&self, data_plane: usize, path: &str, status: u16) {
        let url = self.proxy(data_plane, path);
        eventually(&format!("{path} answers {status}"), || {
            let reply = get(&url)?;
            if reply.status == status {
                Ok(())
            } else {
                Err(format!("{reply:?}"))
            }
        });
    }
}
