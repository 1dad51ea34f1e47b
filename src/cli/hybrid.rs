//! `langur hybrid gen_cert`: the certificate all nodes of a cluster share, or that of one node.
//! `langur hybrid forget`: who a data plane was is forgotten.

use super::args::SettingsArgs;
use super::start::StartError;
use super::{CliError, logging, start};
use crate::settings::{Database, Settings};
use crate::tls::{
    self, GeneratedPair, Identity, Material, cluster_certificate, node_certificate, write_private,
    write_public,
};
use clap::Subcommand;
use rustls::RootCertStore;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make cluster.crt and cluster.key.
    #[command(name = "gen_cert", visible_alias = "gen-cert")]
    GenCert(GenCert),
    /// Forget a data plane: its row, and the secret that its id is bound to. For a node that has
    /// lost its prefix and is to keep its id; run it where a control plane's settings are.
    Forget {
        /// The id of the node.
        node: Uuid,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

#[derive(Debug, clap::Args)]
struct GenCert {
    /// A directory for cluster.crt and cluster.key (the current one if none is named), or the
    /// two files themselves.
    #[arg(value_name = "DIR | CERT KEY", num_args = 0..=2)]
    paths: Vec<PathBuf>,

    /// Days until the certificate ends.
    #[arg(short, long, default_value_t = 1095, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,

    /// For the node of this id alone, with cluster_mtls = pki: a certificate that an authority
    /// signs.
    #[arg(
        long,
        value_name = "NODE_ID",
        requires = "ca_cert",
        requires = "ca_key"
    )]
    node: Option<Uuid>,

    /// The certificate of the authority that signs, PEM.
    #[arg(long, value_name = "FILE", requires = "node")]
    ca_cert: Option<PathBuf>,

    /// The key of that authority, PEM.
    #[arg(long, value_name = "FILE", requires = "node")]
    ca_key: Option<PathBuf>,

    /// A name or address that the node is reached by; a control plane needs one.
    #[arg(long, value_name = "NAME", requires = "node")]
    name: Vec<String>,
}

/// Runs the subcommand.
pub fn command(args: &Args) -> Result<(), CliError> {
    let args = match &args.command {
        Command::GenCert(args) => args,
        Command::Forget { node, settings } => return forget(*node, settings),
    };
    let (cert, key) = match args.paths.as_slice() {
        [cert, key] => (cert.clone(), key.clone()),
        [directory] => in_directory(directory),
        _ => in_directory(Path::new(".")),
    };
    if let Some(folder) = cert.parent() {
        let failed = |source| CliError::Create {
            path: folder.display().to_string(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let whose = match (args.node, &args.ca_cert, &args.ca_key) {
        (Some(node), Some(ca_cert), Some(ca_key)) => {
            let sign = |days| signed(node, args.name.clone(), ca_cert, ca_key, days);
            write_pair(&cert, &key, || sign(args.days))?;
            format!("Copy both to node {node} and set cluster_cert and cluster_cert_key there.")
        }
        _ => {
            generate(&cert, &key, args.days)?;
            "Copy both to every node and set cluster_cert and cluster_cert_key.".to_owned()
        }
    };
    println!("certificate: {}", cert.display());
    println!("key:         {}", key.display());
    println!("{whose}");
    Ok(())
}

/// A certificate of an authority that peers with this authority accept.
fn signed(
    node: Uuid,
    names: Vec<String>,
    ca_cert: &Path,
    ca_key: &Path,
    days: u32,
) -> Result<GeneratedPair, CliError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| CliError::Read {
            path: path.display().to_string(),
            source,
        })
    };
    let authority = (read(ca_cert)?, read(ca_key)?);
    let pair = node_certificate(
        node,
        names,
        (&authority.0, &authority.1),
        days,
        SystemTime::now(),
    )?;
    // A key that is not the authority's signs, too, and nobody would accept it.
    let material = |text: &str| Material::Pem(text.to_owned());
    let identity = Identity::load(&material(&pair.certificate), &material(&pair.key))?;
    let mut roots = RootCertStore::empty();
    tls::add_material(&mut roots, &material(&authority.0))?;
    tls::verify_chain(&identity, &roots, true)?;
    Ok(pair)
}

/// Deletes what the database knows of a data plane.
fn forget(node: Uuid, from: &SettingsArgs) -> Result<(), CliError> {
    let (settings, warnings) = from.load()?;
    if matches!(settings.database, Database::Off) {
        return Err(CliError::Usage(
            "database = off: run this with the settings of a control plane".to_owned(),
        ));
    }
    logging::init(&settings.node)?;
    for warning in warnings {
        tracing::warn!(warning, "settings");
    }
    match start::block_on(forget_in(Arc::new(settings), node))? {
        true => println!("node {node} is forgotten: the next one that shows this id may have it"),
        false => println!("node {node} is not known"),
    }
    Ok(())
}

#[cfg(feature = "control-plane")]
async fn forget_in(settings: Arc<Settings>, node: Uuid) -> Result<bool, StartError> {
    let store = crate::control_plane::connect(&settings).await?;
    let failed = |err| crate::node::NodeError::Database(format!("database: {err:?}"));
    let known = store.forget_data_plane(node).await.map_err(failed)?;
    store.close().await;
    Ok(known)
}

#[cfg(not(feature = "control-plane"))]
async fn forget_in(settings: Arc<Settings>, _: Uuid) -> Result<bool, StartError> {
    Err(StartError::NotInThisBuild(settings.node.role.as_str()))
}

fn in_directory(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join("cluster.crt"), directory.join("cluster.key"))
}

/// Writes both files of a certificate for all nodes; never over a file that is there.
pub(super) fn generate(cert: &Path, key: &Path, days: u32) -> Result<(), CliError> {
    write_pair(cert, key, || {
        Ok(cluster_certificate(days, SystemTime::now())?)
    })
}

fn write_pair(
    cert: &Path,
    key: &Path,
    make: impl FnOnce() -> Result<GeneratedPair, CliError>,
) -> Result<(), CliError> {
    for path in [cert, key] {
        if path.symlink_metadata().is_ok() {
            return Err(CliError::AlreadyThere(format!(
                "{} exists and is not overwritten",
                path.display()
            )));
        }
    }
    let pair = make()?;
    write_private(key, &pair.key)?;
    // A key without its certificate would only block the next attempt.
    write_public(cert, &pair.certificate).inspect_err(|_| drop(std::fs::remove_file(key)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;
    use crate::tls::{Identity, Material};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn writes_a_pair_and_never_over_it() {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = in_directory(directory.path());
        generate(&cert, &key, 30).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&cert), mode(&key)), (0o644, 0o600));
        Identity::load(&Material::Path(cert.clone()), &Material::Path(key.clone())).unwrap();

        let before = fs::read(&key).unwrap();
        assert_eq!(
            generate(&cert, &key, 30).unwrap_err().exit(),
            Exit::CannotCreate
        );
        fs::remove_file(&cert).unwrap();
        assert_eq!(
            generate(&cert, &key, 30).unwrap_err().exit(),
            Exit::CannotCreate
        );
        assert_eq!(fs::read(&key).unwrap(), before);
        assert!(!cert.exists());
    }

    #[test]
    fn trial_15_a_certificate_of_one_node_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let authority = |name: &str| {
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            fs::write(path(&format!("{name}.crt")), certificate.pem()).unwrap();
            fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        };
        authority("ca");
        authority("other");
        let node = Uuid::from_u128(7);
        let names = vec!["cp.test".to_owned(), "10.0.0.1".to_owned()];
        let pair = signed(node, names, &path("ca.crt"), &path("ca.key"), 30).unwrap();
        let identity =
            Identity::load(&Material::Pem(pair.certificate), &Material::Pem(pair.key)).unwrap();
        assert_eq!(tls::node_id(identity.leaf()), Some(node));
        let facts = tls::facts(identity.leaf()).unwrap();
        assert!(facts.for_servers && facts.for_clients);
        assert_eq!(facts.names[0], "cp.test");
        signed(node, Vec::new(), &path("ca.crt"), &path("other.key"), 30).unwrap_err();
        // The certificate of all nodes names none.
        let shared = cluster_certificate(1, SystemTime::now()).unwrap();
        let shared = Material::Pem(shared.certificate).certificates().unwrap();
        assert_eq!(tls::node_id(&shared[0]), None);
    }

    #[test]
    fn a_missing_directory_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("cluster.key");
        let error = generate(&directory.path().join("no/cluster.crt"), &key, 1).unwrap_err();
        assert_eq!(error.exit(), Exit::CannotCreate);
        assert!(!key.exists());
    }
}
