//! `cluster_mtls = pki`: each node has a certificate of its own, and `langur doctor` knows whose
//! is wrong.

use crate::doctor::{doctor, expect};
use crate::harness::{Cluster, Database};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Its certificate goes into the file.
    fn new(file: &Path) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        fs::write(file, issuer.pem()).expect("written");
        Authority(issuer)
    }

    /// `<name>.crt` and `<name>.key` in a folder, over what is there.
    fn sign(&self, folder: &Path, name: &str, names: &[&str], usage: ExtendedKeyUsagePurpose) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        fs::write(folder.join(format!("{name}.crt")), certificate.pem()).expect("written");
        let path = folder.join(format!("{name}.key"));
        fs::write(&path, key.serialize_pem()).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
    }
}

#[test]
fn each_node_has_a_certificate_of_its_own() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let mut cluster = Cluster::without_data_planes(Database::Sqlite);
    let folder = cluster.path("");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let authority = Authority::new(&folder.join("ca.crt"));
    let link = cluster.control_planes[0]
        .setting("cluster_listen")
        .to_owned();
    let host = link.split(':').next().unwrap_or_default().to_owned();
    authority.sign(&folder, "cp", &[&host], ServerAuth);
    authority.sign(&folder, "dp", &["dp"], ClientAuth);
    let control = &mut cluster.control_planes[0];
    control.set("cluster_mtls", "pki");
    control.set("cluster_ca_cert", path("ca.crt"));
    control.set("cluster_cert", path("cp.crt"));
    control.set("cluster_cert_key", path("cp.key"));
    control.restart();
    cluster.wait_until_ready(0);
    let n = cluster.add_data_plane(&[
        ("cluster_mtls", "pki"),
        ("cluster_ca_cert", &path("ca.crt")),
        ("cluster_cert", &path("dp.crt")),
        ("cluster_cert_key", &path("dp.key")),
    ]);
    cluster.wait_until_connected(n);
    for node in [&cluster.control_planes[0], &cluster.data_planes[n]] {
        let (code, findings) = doctor(node);
        assert_eq!(code, Some(0), "{findings:#?}");
        let wrong: Vec<_> = findings.iter().filter(|one| one["level"] != "ok").collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    // Renewed on one node: no other node is concerned.
    authority.sign(&folder, "dp", &["dp"], ClientAuth);
    cluster.data_planes[n].stop(libc::SIGTERM);
    cluster.data_planes[n].restart();
    cluster.wait_until_connected(n);
    cluster.add_route("any", "/any");
    cluster.wait_until_in_sync(0, n);
    cluster.data_planes[n].stop(libc::SIGTERM);

    // Meant for servers only: this node sees it, and the control plane refuses it.
    let setting = "cluster_control_plane";
    authority.sign(&folder, "dp", &["dp"], ServerAuth);
    let (code, findings) = doctor(&cluster.data_planes[n]);
    assert_eq!(code, Some(1));
    expect(&findings, "error", "cluster_cert", &["lacks clientAuth"]);
    expect(
        &findings,
        "error",
        setting,
        &["refuses this node's certificate"],
    );
    // Signed by somebody else.
    let other = Authority::new(&folder.join("other.crt"));
    other.sign(&folder, "dp", &["dp"], ClientAuth);
    let (_, findings) = doctor(&cluster.data_planes[n]);
    expect(
        &findings,
        "warning",
        "cluster_cert",
        &["does not lead to cluster_ca_cert"],
    );
    expect(
        &findings,
        "error",
        setting,
        &["refuses this node's certificate"],
    );
    authority.sign(&folder, "dp", &["dp"], ClientAuth);
    // A control plane of another name, and of another authority.
    let node = &mut cluster.data_planes[n];
    node.set("cluster_server_name", "elsewhere.test");
    let (_, findings) = doctor(node);
    expect(&findings, "error", setting, &["is valid for another name"]);
    node.set("cluster_server_name", "");
    node.set("cluster_ca_cert", path("other.crt"));
    let (_, findings) = doctor(node);
    expect(
        &findings,
        "error",
        setting,
        &["another authority has signed"],
    );
}
