//! The places of operations, and what must have come of their blocks.

use super::blocks::Place;
use super::machine::Machine;
use super::of;
use crate::harness::{BINARY, Cluster, Database, call, free_address, get, unique_loopback};
use std::fs;
use std::path::Path;

/// What the pages call the listeners of a control plane and of a data plane.
fn exchange_addresses(machine: &mut Machine, cluster: &Cluster, data_plane: Option<usize>) {
    let control = &cluster.control_planes[0];
    machine.exchange("127.0.0.1:8001", control.setting("admin_listen"));
    machine.exchange("127.0.0.1:8007", control.setting("status_listen"));
    if let Some(n) = data_plane {
        let status = cluster.data_planes[n].setting("status_listen");
        machine.exchange("127.0.0.1:8100", status);
    }
}

#[test]
fn beside_running_nodes() {
    let cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("any", "/any");
    cluster.wait_until_in_sync(0, 0);
    fs::write(cluster.path("langur.conf"), "log_level = notice\n").expect("written");
    // The level that the page begins with.
    let level = cluster.admin(0, "/debug/node/log-level/notice?timeout=0");
    call("PUT", &level, &[], None)
        .expect("an answer")
        .expect(200);
    let etc = cluster.path("");
    let mut machine = Machine::of(&cluster.control_planes[0], &etc);
    exchange_addresses(&mut machine, &cluster, Some(0));
    for block in of(Place::ControlPlane) {
        machine.run(&block);
    }
    let mut machine = Machine::of(&cluster.data_planes[0], &etc);
    exchange_addresses(&mut machine, &cluster, Some(0));
    for block in of(Place::DataPlane) {
        machine.run(&block);
    }
    // The one thing that operations do to a data plane: it takes no more traffic.
    let ready = cluster.status_url(&cluster.data_planes[0], "/status/ready");
    assert_eq!(get(&ready).expect("an answer").status, 503);
}

#[test]
fn two_machines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let machine =
        |name: &str| Machine::new(&path(&format!("{name}/etc")), &path(&format!("{name}/var")));
    let mut build = machine("build");
    build.cargo(&[(
        "build --release",
        format!("mkdir -p target/release && cp {BINARY} target/release/langur"),
    )]);
    let installed = build.path("installed");
    fs::create_dir(&installed).expect("a folder");
    build.exchange("/usr/local/bin", installed.to_str().expect("text"));
    for block in of(Place::BuildMachine) {
        build.run(&block);
    }
    let (mut control, mut data) = (machine("cp"), machine("dp"));
    for machine in [&mut control, &mut data] {
        machine.install(&installed.join("langur"));
    }
    let ip = unique_loopback();
    let free = || free_address(ip).to_string();
    let (admin, status, link, telemetry) = (free(), free(), free(), free());
    let certificates = |machine: &mut Machine, name: &str| {
        for (key, file) in [
            ("cluster_cert", "cluster.crt"),
            ("cluster_cert_key", "cluster.key"),
        ] {
            let file = path(&format!("{name}/etc/{file}"));
            machine.set(key, file.to_str().expect("text"));
        }
    };
    certificates(&mut control, "cp");
    for (key, address) in [
        ("admin_listen", &admin),
        ("status_listen", &status),
        ("cluster_listen", &link),
        ("cluster_telemetry_listen", &telemetry),
    ] {
        control.set(key, address);
    }
    control.exchange("127.0.0.1:8001", &admin);
    fs::write(
        control.path("kong.conf"),
        "database = postgres\nlog_level = notice\n",
    )
    .expect("written");
    certificates(&mut data, "dp");
    data.set("proxy_listen", &free());
    data.set("status_listen", &free());
    data.set("cluster_telemetry_endpoint", &telemetry);
    data.exchange("10.0.0.1:8005", &link);

    let (starting, looking): (Vec<_>, Vec<_>) = of(Place::ControlPlaneMachine)
        .into_iter()
        .partition(|block| block.background);
    for block in &starting {
        control.run(block);
    }
    control.wait("the control plane is ready", || {
        match get(&format!("http://{status}/status/ready"))?.status {
            200 => Ok(()),
            other => Err(other.to_string()),
        }
    });
    // "Copy there … cluster.crt and cluster.key into /etc/langur."
    fs::create_dir_all(path("dp/etc")).expect("a folder");
    for file in ["cluster.crt", "cluster.key"] {
        fs::copy(path("cp/etc").join(file), path("dp/etc").join(file)).expect("copied");
    }
    for block in of(Place::DataPlaneMachine) {
        data.run(&block);
    }
    let rows = format!("http://{admin}/clustering/data-planes");
    data.wait("the data plane is connected", || {
        let reply = get(&rows)?;
        match reply.json()["data"][0]["connected"] == true {
            true => Ok(()),
            false => Err(reply.text),
        }
    });
    for block in &looking {
        control.run(block);
    }
}

#[test]
fn a_data_plane_is_reset() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("any", "/any");
    cluster.wait_until_in_sync(0, 0);
    cluster.data_planes[0].stop(libc::SIGTERM);
    let cache = cluster.data_planes[0].prefix().join("dbless.lmdb");
    assert!(cache.exists());
    let mut machine = Machine::of(&cluster.data_planes[0], &cluster.path(""));
    for block in of(Place::StoppedDataPlane) {
        machine.run(&block);
    }
    assert!(!cache.exists());
    cluster.data_planes[0].restart();
    cluster.wait_for_status(0, "/any", 200);
    cluster.wait_until_in_sync(0, 0);
}

#[test]
fn a_data_plane_joins_during_an_outage() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("any", "/any");
    cluster.wait_until_in_sync(0, 0);
    cluster.data_planes[0].stop(libc::SIGTERM);
    cluster.control_planes[0].kill();

    let var = cluster.path("dp1");
    let mut machine = Machine::new(&cluster.path(""), &var);
    let cache = cluster.data_planes[0].prefix().join("dbless.lmdb");
    copy(&cache, &machine.path("dbless.lmdb"));
    for block in of(Place::NewDataPlane) {
        machine.run(&block);
    }
    let n = cluster.add_data_plane(&[]);
    assert_eq!(cluster.data_planes[n].prefix(), var);
    cluster.wait_for_status(n, "/any", 200);
    // And it is a node of its own when the outage is over.
    cluster.control_planes[0].restart();
    cluster.wait_until_in_sync(0, n);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn the_shared_certificate_is_renewed() {
    let mut cluster = Cluster::start(Database::Sqlite, 1);
    cluster.add_route("before", "/before");
    cluster.wait_until_in_sync(0, 0);
    let certificate = cluster.path("cluster.crt");
    let read = || fs::read(&certificate).expect("a certificate");
    let old = read();
    let mut machine = Machine::of(&cluster.control_planes[0], &cluster.path(""));
    for block in of(Place::Renewal) {
        machine.run(&block);
    }
    assert_ne!(read(), old);
    // Running nodes do not notice.
    cluster.add_route("between", "/between");
    cluster.wait_for_status(0, "/between", 200);
    // "Then restart the control planes, and after them the data planes." Meanwhile it serves.
    cluster.control_planes[0].stop(libc::SIGTERM);
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    // The data plane is not let in.
    cluster.wait_until_gone(0);
    cluster.wait_for_status(0, "/between", 200);
    cluster.data_planes[0].stop(libc::SIGTERM);
    cluster.data_planes[0].restart();
    cluster.wait_until_connected(0);
    cluster.wait_until_in_sync(0, 0);
}

#[test]
fn sqlite_is_backed_up_and_restored() {
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    cluster.add_route("kept", "/kept");
    let mut machine = Machine::of(&cluster.control_planes[0], &cluster.path(""));
    for block in of(Place::SqliteBackup) {
        machine.run(&block);
    }
    cluster.add_route("lost", "/lost");
    cluster.control_planes[0].stop(libc::SIGTERM);
    for block in of(Place::SqliteRestore) {
        machine.run(&block);
    }
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    only_what_was_kept(&cluster);
}

#[test]
fn postgres_is_backed_up_and_restored() {
    let mut cluster = Cluster::without_data_planes(Database::fresh_postgres());
    cluster.add_route("kept", "/kept");
    let Database::Postgres(database) = cluster.database.clone() else {
        panic!("this story is about PostgreSQL");
    };
    let mut machine = Machine::of(&cluster.control_planes[0], &cluster.path(""));
    for (name, value) in [
        ("PGHOST", &database.host),
        ("PGPORT", &database.port),
        ("PGUSER", &database.user),
        ("PGDATABASE", &database.database),
    ] {
        machine.variable(name, value);
    }
    for block in of(Place::PostgresBackup) {
        machine.run(&block);
    }
    cluster.add_route("lost", "/lost");
    cluster.control_planes[0].stop(libc::SIGTERM);
    for block in of(Place::PostgresRestore) {
        machine.run(&block);
    }
    cluster.control_planes[0].restart();
    cluster.wait_until_ready(0);
    only_what_was_kept(&cluster);
}

fn only_what_was_kept(cluster: &Cluster) {
    let status = |name: &str| {
        let url = cluster.admin(0, &format!("/services/{name}"));
        get(&url).expect("an answer").status
    };
    assert_eq!((status("kept"), status("lost")), (200, 404));
    // And it goes on from there.
    cluster.add_route("after", "/after");
    assert_eq!(status("after"), 200);
}
