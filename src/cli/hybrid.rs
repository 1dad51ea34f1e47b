//! `langur hybrid gen_cert`: the certificate all nodes of a cluster share.

use super::CliError;
use crate::tls::{cluster_certificate, write_private, write_public};
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
}

/// Runs the subcommand.
pub fn command(args: &Args) -> Result<(), CliError> {
    let Command::GenCert(args) = &args.command;
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
    generate(&cert, &key, args.days)?;
    println!("certificate: {}", cert.display());
    println!("key:         {}", key.display());
    println!("Copy both to every node and set cluster_cert and cluster_cert_key.");
    Ok(())
}

fn in_directory(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join("cluster.crt"), directory.join("cluster.key"))
}

/// Writes both files; never over a file that is there.
pub(super) fn generate(cert: &Path, key: &Path, days: u32) -> Result<(), CliError> {
    for path in [cert, key] {
        if path.symlink_metadata().is_ok() {
            return Err(CliError::AlreadyThere(format!(
                "{} exists and is not overwritten",
                path.display()
            )));
        }
    }
    let pair = cluster_certificate(days, SystemTime::now())?;
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
    fn a_missing_directory_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("cluster.key");
        let error = generate(&directory.path().join("no/cluster.crt"), &key, 1).unwrap_err();
        assert_eq!(error.exit(), Exit::CannotCreate);
        assert!(!key.exists());
    }
}
