//! Command lines and what they exit with.

use super::*;
use clap::CommandFactory as _;

fn exit(line: &[&str]) -> Exit {
    let line = ["langur"].iter().chain(line);
    run(line.map(OsString::from), crate::plugins::BUNDLED)
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file("good.conf", "log_level = debug");
    let bad = file("bad.conf", "log_level = loud");
    let no_key = file(
        "no_key.conf",
        "role = data_plane\ncluster_cert = /no/cert\ncluster_cert_key = /no/key",
    );
    let dp = file("dp.conf", "role = data_plane");
    let dir = directory.path().to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = taken.local_addr().unwrap().to_string();
    let closed = crate::loopback::closed_address().to_string();
    for (line, expected) in [
        (&["version"][..], Exit::Ok),
        (&["--help"], Exit::Ok),
        (&["--version"], Exit::Ok),
        (&[], Exit::Usage),
        (&["nope"], Exit::Usage),
        (&["start", "--set", "x"], Exit::Usage),
        (&["start", "--set", "nope=1"], Exit::Config),
        (&["start", "-c", &bad], Exit::Config),
        (&["start", "-c", "/no/such/file"], Exit::NoInput),
        (&["check", &good], Exit::Ok),
        (&["check", &bad], Exit::Config),
        (&["check", &no_key], Exit::Config),
        (&["check", &dp], Exit::Config),
        (&["check", "/no/such/file"], Exit::NoInput),
        (&["check", &good, "--set", "role=data_plane"], Exit::Config),
        (&["migrations", "reset"], Exit::Usage),
        (&["migrations", "up", "--set", "database=off"], Exit::Usage),
        (&["hybrid", "gen_cert", dir], Exit::Ok),
        (&["hybrid", "gen_cert", dir], Exit::CannotCreate),
        (&["hybrid", "gen_cert", "--days", "0"], Exit::Usage),
        (&["health", "-c", &bad], Exit::Config),
        (&["echo", "--listen", "nowhere"], Exit::Usage),
        (&["echo", "--listen", &taken_address], Exit::System),
        (&["status", "-c", &bad], Exit::Config),
        (&["status", "--admin", "nowhere"], Exit::Usage),
        (&["status", "--admin", &closed], Exit::Unavailable),
        (&["doctor", "-c", &bad], Exit::Failure),
        (&["doctor", "-c", "/no/such/file"], Exit::NoInput),
    ] {
        assert_eq!(exit(line), expected, "{line:?}");
    }
}

#[test]
fn every_exit_code_is_explained_in_the_help() {
    let help = Cli::command().render_help().to_string();
    for exit in Exit::ALL {
        assert!(help.contains(exit.meaning()), "{help}");
    }
}

#[test]
fn beside_17_parse_can_ask_for_kong() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let settings = file("langur.conf", "log_level = debug");
    let document = |reference: &str| {
        format!(
            "_format_version: '3.0'\nservices: [{{name: s, host: h}}]\nplugins: [{{name: key-auth, service: {reference}}}]\n"
        )
    };
    let by_object = file("object.yml", &document("{name: s}"));
    let by_name = file("name.yml", &document("s"));
    let parse = |document: &str, more: &[&str]| {
        exit(&[&["config", "parse", document, "-c", &settings], more].concat())
    };
    assert_eq!(parse(&by_object, &[]), Exit::Ok);
    assert_eq!(parse(&by_object, &["--kong"]), Exit::Failure);
    assert_eq!(parse(&by_name, &["--kong"]), Exit::Ok);
}
