//! Kills every actor of live planes, in many orders, under traffic: no request fails, no configuration
//! is lost, and the cache on disk is what serves.

use crate::actor::{Registry, RestartPolicy};
use crate::cli::start::{own_configuration, planes_in_one};
use crate::control_plane::ControlPlane;
use crate::data_plane::cache_writer::{Cached, ConfigCache, LmdbCache};
use crate::data_plane::{DataPlane, Links};
use crate::loopback::{closed_address, own_address};
use crate::node::Node;
use crate::plugins::BUNDLED;
use crate::settings::{LogControl, LogLevel, Settings, SettingsFile, Sources};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than any pause of a link on a busy machine; nothing is concluded from how long it took.
const PATIENCE: Duration = Duration::from_secs(120);

/// The actors of a data plane and of a control plane; sessions have no guardian.
const DATA_PLANE: [&str; 7] = [
    "PluginHost",
    "Router",
    "CacheWriter",
    "HeartbeatClient",
    "TelemetryBuffer",
    "HealthChecker",
    "Listener",
];
const CONTROL_PLANE: [&str; 3] = ["ConfigStore", "ClusterRegistry", "AdminApi"];
const SESSION: &str = "Session";

/// Answers every request with 200.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap_or(0) > 0 {
                    if line.trim_end().is_empty() {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        if (&stream).write_all(answer).is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    address
}

/// One request over a connection; the status.
fn exchange(stream: &mut TcpStream, path: &str) -> std::io::Result<u16> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.trim_end().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// A request that is not answered fails; it does not hang.
fn connect(proxy: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(proxy)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(stream)
}

/// Of one request over a connection of its own. It waits on another thread: actors live on this one.
async fn status(proxy: SocketAddr, path: &str) -> Result<u16, String> {
    let path = path.to_owned();
    let asked = move || connect(proxy).and_then(|mut stream| exchange(&mut stream, &path));
    let answer = tokio::task::spawn_blocking(asked).await.expect("a thread");
    answer.map_err(|err| err.to_string())
}

/// Clients that ask for one path without a pause, over new connections and over one that stays.
struct Traffic {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    fn start(proxy: SocketAddr, path: &'static str) -> Traffic {
        let mut traffic = Traffic {
            stop: Arc::default(),
            requests: Arc::default(),
            failures: Arc::default(),
            threads: Vec::new(),
        };
        for keeps in [true, false] {
            let stop = Arc::clone(&traffic.stop);
            let requests = Arc::clone(&traffic.requests);
            let failures = Arc::clone(&traffic.failures);
            traffic.threads.push(std::thread::spawn(move || {
                let mut kept = None;
                while !stop.load(Ordering::SeqCst) {
                    let open = || connect(proxy);
                    let stream = kept.take().map_or_else(open, Ok);
                    let answer = stream.and_then(|mut stream| {
                        let status = exchange(&mut stream, path)?;
                        kept = keeps.then_some(stream);
                        Ok(status)
                    });
                    requests.fetch_add(1, Ordering::SeqCst);
                    match answer {
                        Ok(200) => {}
                        other => failures.lock().expect("a list").push(format!("{other:?}")),
                    }
                }
            }));
        }
        traffic
    }

    /// Waits for requests that began after this call.
    async fn goes_on(&self) {
        let before = self.requests.load(Ordering::SeqCst);
        until("traffic goes on", async || {
            let now = self.requests.load(Ordering::SeqCst);
            (now > before + 4)
                .then_some(())
                .ok_or_else(|| now.to_string())
        })
        .await;
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a client");
        }
        let failures = self.failures.lock().expect("a list");
        assert!(failures.is_empty(), "{failures:?}");
        assert!(self.requests.load(Ordering::SeqCst) > 0);
    }
}

/// Asks again and again, without standing in the way of the actors of this thread.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(found) => return found,
            Err(why) => assert!(begun.elapsed() < PATIENCE, "never: {what}: {why}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn node(text: &str) -> Node {
    let file = SettingsFile {
        name: "langur.conf",
        text,
    };
    let (settings, _) = Settings::load(&Sources {
        file: Some(file),
        ..Sources::default()
    })
    .expect("settings");
    let log = LogControl::new(LogLevel::Notice, |_| {});
    let node = Node::new(Arc::new(settings), log, BUNDLED).expect("a node");
    // A pause that grows with every death would only make the test longer.
    node.actors.set_pace(RestartPolicy {
        first_delay: Duration::from_millis(10),
        max_delay: Duration::from_millis(40),
        healthy_after: Duration::from_secs(60),
    });
    node
}

/// A port of an address that nobody else has.
fn port(ip: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

/// Both planes, in one node or in two, and an upstream behind them.
struct Planes {
    control: ControlPlane,
    data: DataPlane,
    /// Of the control plane's node and of the data plane's, which may be the same.
    actors: [Registry; 2],
    admin: SocketAddr,
    proxy: SocketAddr,
    prefix: PathBuf,
    upstream: SocketAddr,
    folder: TempDir,
}

/// The certificate of a cluster, for both its nodes.
fn cluster_settings(folder: &Path) -> String {
    let pair = crate::tls::cluster_certificate(30, std::time::SystemTime::now()).expect("a pair");
    let (cert, key) = (folder.join("cluster.crt"), folder.join("cluster.key"));
    std::fs::write(&cert, &pair.certificate).expect("written");
    std::fs::write(&key, &pair.key).expect("written");
    format!(
        "cluster_cert = {}\ncluster_cert_key = {}\n",
        cert.display(),
        key.display()
    )
}

impl Planes {
    /// Two nodes, linked by mutual TLS.
    async fn cluster() -> Planes {
        let folder = tempfile::tempdir().expect("a folder");
        let ip = own_address();
        let [admin, cluster, telemetry, proxy] = [(); 4].map(|()| port(ip));
        let shared = cluster_settings(folder.path());
        let control_node = node(&format!(
            "{shared}role = control_plane\nprefix = {}\nadmin_listen = {admin}\n\
             cluster_listen = {cluster}\ncluster_telemetry_listen = {telemetry}\n\
             status_listen = off\n",
            folder.path().join("cp").display()
        ));
        let mut control = ControlPlane::open(&control_node).await.expect("opens");
        let pages = control_node.status_pages(vec![control.status()], None);
        control.serve(pages).expect("serves");
        let prefix = folder.path().join("dp");
        let data_node = node(&format!(
            "{shared}role = data_plane\nprefix = {}\nproxy_listen = {proxy}\nstatus_listen = off\n\
             nginx_worker_processes = 2\ncluster_control_plane = {cluster}\n\
             cluster_telemetry_endpoint = {telemetry}\n",
            prefix.display()
        ));
        let links = Links::over_network(&data_node).expect("links");
        let data = DataPlane::start(&data_node, links, None)
            .await
            .expect("starts");
        Planes {
            actors: [control_node.actors.clone(), data_node.actors.clone()],
            control,
            data,
            admin,
            proxy,
            prefix,
            upstream: upstream(),
            folder,
        }
    }

    /// One node of both planes.
    async fn traditional() -> Planes {
        let folder = tempfile::tempdir().expect("a folder");
        let ip = own_address();
        let [admin, proxy] = [(); 2].map(|()| port(ip));
        let prefix = folder.path().join("node");
        let node = node(&format!(
            "role = traditional\nprefix = {}\nadmin_listen = {admin}\nproxy_listen = {proxy}\n\
             status_listen = off\nnginx_worker_processes = 2\n",
            prefix.display()
        ));
        let mut control = ControlPlane::open(&node).await.expect("opens");
        let links = planes_in_one(&control);
        let own = Some(own_configuration(&control));
        let data = DataPlane::start(&node, links, own).await.expect("starts");
        let pages = node.status_pages(vec![control.status()], None);
        control.serve(pages).expect("serves");
        Planes {
            actors: [node.actors.clone(), node.actors.clone()],
            control,
            data,
            admin,
            proxy,
            prefix,
            upstream: upstream(),
            folder,
        }
    }

    async fn post(&self, path: &str, body: Value) {
        let url = format!("http://{}{path}", self.admin);
        let begun = Instant::now();
        // A write that an actor took with it was answered with an error, and may have been made.
        loop {
            let (url, text) = (url.clone(), body.to_string());
            let answer = tokio::task::spawn_blocking(move || {
                let agent = ureq::Agent::config_builder()
                    .http_status_as_error(false)
                    .build();
                let agent = ureq::Agent::new_with_config(agent);
                let sent = agent.post(&url).header("content-type", "application/json");
                sent.send(text).map(|answer| answer.status().as_u16())
            });
            match answer.await.expect("a thread") {
                Ok(201 | 409) => return,
                other => assert!(begun.elapsed() < PATIENCE, "{path}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn add_route(&self, path: &str) {
        let name = path.trim_matches('/');
        let route = json!({"name": name, "paths": [path], "service": {"name": "s"}});
        self.post("/routes", route).await;
        until(&format!("{path} is served"), async || {
            match status(self.proxy, path).await? {
                200 => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .await;
    }

    /// Kills an actor, and says whether it was there to be killed.
    async fn kill(&self, name: &str) {
        if name == SESSION {
            self.control.kill_sessions().await;
            return;
        }
        let of = usize::from(DATA_PLANE.contains(&name));
        let before = self.actors[of].panics(name);
        // Again and again: one that is being restarted cannot be killed yet, nor can one whose life has
        // not had its first turn.
        until(&format!("{name} dies"), async || {
            self.actors[of].kill(name);
            let dead = self.actors[of].panics(name) > before;
            dead.then_some(()).ok_or("it lives".to_owned())
        })
        .await;
    }

    /// The cache on disk, as another node would read a copy of it.
    fn cached(&self, copy: &str) -> (PathBuf, Cached) {
        let to = self.folder.path().join(copy).join("dbless.lmdb");
        std::fs::create_dir_all(&to).expect("a folder");
        let from = self.prefix.join("dbless.lmdb/data.mdb");
        std::fs::copy(from, to.join("data.mdb")).expect("a copy");
        let mut cache = LmdbCache::new(&to, 128 << 20);
        let cached = cache.load().expect("loads").unwrap_or_default();
        (to, cached)
    }

    /// Waits until the cache holds all that the control plane does.
    async fn is_cached(&self, copy: &str) {
        let mut n = 0;
        until("the cache holds the configuration", async || {
            n += 1;
            let (folder, cached) = self.cached(&format!("{copy}-{n}"));
            std::fs::remove_dir_all(folder).expect("removed");
            let (_, config) = self.control.configuration();
            let held = cached.config.revision();
            (cached.config == config)
                .then_some(())
                .ok_or(format!("{held}"))
        })
        .await;
    }
}

async fn first_routes(planes: &Planes) {
    let service = json!({"name": "s", "url": format!("http://{}", planes.upstream)});
    planes.post("/services", service).await;
    planes.add_route("/live").await;
}

/// Kills all orders of two of these under traffic, and for each makes a change that has to land.
async fn die_in_pairs(names: &[&str]) {
    let planes = Planes::cluster().await;
    first_routes(&planes).await;
    let traffic = Traffic::start(planes.proxy, "/live");
    for first in names {
        for second in names.iter().filter(|second| *second != first) {
            planes.kill(first).await;
            planes.kill(second).await;
            planes.add_route(&format!("/{first}-{second}")).await;
            traffic.goes_on().await;
        }
    }
    planes.is_cached("pairs").await;
    traffic.end();
    planes.data.stop(false).await;
}

#[actix::test]
async fn trial_28_actors_of_a_data_plane_die_in_every_order_of_two() {
    die_in_pairs(&DATA_PLANE).await;
}

#[actix::test]
async fn trial_28_actors_of_a_control_plane_die_in_every_order_of_two() {
    die_in_pairs(&CONTROL_PLANE).await;
}

/// All actors of both planes one after the other, each time beginning with another one; then a
/// restart without a control plane.
#[actix::test]
async fn trial_28_all_actors_die_and_a_restart_serves_what_came_last() {
    let planes = Planes::cluster().await;
    first_routes(&planes).await;
    let traffic = Traffic::start(planes.proxy, "/live");
    let mut all: Vec<&str> = DATA_PLANE.iter().chain(&CONTROL_PLANE).copied().collect();
    all.insert(3, SESSION);
    for round in 0..all.len() {
        for name in &all {
            planes.kill(name).await;
        }
        planes.add_route(&format!("/round{round}")).await;
        traffic.goes_on().await;
        all.rotate_left(1);
    }
    planes.is_cached("rounds").await;
    traffic.end();
    planes.data.stop(false).await;

    let (copy, _) = planes.cached("restarted");
    let prefix = copy.parent().expect("a prefix").display().to_string();
    let (proxy, closed) = (port(own_address()), closed_address());
    let shared = cluster_settings(planes.folder.path());
    let again = node(&format!(
        "{shared}role = data_plane\nprefix = {prefix}\nproxy_listen = {proxy}\n\
         status_listen = off\nnginx_worker_processes = 1\ncluster_control_plane = {closed}\n"
    ));
    let links = Links::over_network(&again).expect("links");
    let again = DataPlane::start(&again, links, None).await.expect("starts");
    for path in ["/live", "/round0", "/round9"] {
        assert_eq!(status(proxy, path).await, Ok(200), "{path}");
    }
    again.stop(false).await;
}

/// The worst that the trial found: a Router and then a HeartbeatClient born again while no control
/// plane can be asked. What is live is still what is cached.
#[actix::test]
async fn trial_28_without_a_control_plane_nothing_empties_the_cache() {
    let planes = Planes::cluster().await;
    first_routes(&planes).await;
    planes.is_cached("before").await;
    let (_, before) = planes.cached("before-all");
    planes.control.stop(false).await;
    let traffic = Traffic::start(planes.proxy, "/live");
    for first in DATA_PLANE {
        for second in DATA_PLANE {
            planes.kill(first).await;
            planes.kill(second).await;
        }
    }
    traffic.goes_on().await;
    traffic.end();
    // Whatever the last lives have begun to write comes before this.
    let observed = planes.actors[1].observe(PATIENCE).await;
    let (_, after) = planes.cached("after-all");
    assert_eq!(after, before, "{observed}");
    assert!(!after.config.is_empty());
    planes.data.stop(false).await;
}

#[actix::test]
async fn trial_28_all_actors_of_one_node_die_and_what_is_written_is_served() {
    let planes = Planes::traditional().await;
    first_routes(&planes).await;
    let traffic = Traffic::start(planes.proxy, "/live");
    let mut all: Vec<&str> = CONTROL_PLANE.iter().chain(&DATA_PLANE).copied().collect();
    for round in 0..all.len() {
        for name in &all {
            planes.kill(name).await;
        }
        planes.add_route(&format!("/round{round}")).await;
        traffic.goes_on().await;
        all.rotate_left(1);
    }
    planes.is_cached("rounds").await;
    traffic.end();
    planes.data.stop(false).await;
}
