//! The hosts file: read at the start, and again when it has changed.

use hickory_resolver::Hosts;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::op::Query;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// More than this of the file is not read.
const MOST: u64 = 8 << 20;

/// The names of a hosts file.
pub struct HostsFile {
    path: PathBuf,
    read: Mutex<(Option<Stamp>, Arc<Hosts>)>,
}

/// What tells one state of the file from another.
type Stamp = (SystemTime, u64);

impl HostsFile {
    pub fn new(path: PathBuf) -> HostsFile {
        HostsFile {
            path,
            read: Mutex::default(),
        }
    }

    /// The addresses of a name, of the kind that the query is for.
    pub fn find(&self, query: &Query) -> Option<Lookup> {
        self.hosts().lookup_static_host(query)
    }

    fn hosts(&self) -> Arc<Hosts> {
        let stamp = std::fs::metadata(&self.path).ok().and_then(stamp);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.0 != stamp {
            *read = (stamp, Arc::new(self.parse()));
        }
        Arc::clone(&read.1)
    }

    fn parse(&self) -> Hosts {
        let mut hosts = Hosts::default();
        let file = File::open(&self.path);
        let parsed = file.and_then(|file| hosts.read_hosts_conf(file.take(MOST)));
        if let Err(error) = parsed {
            let path = self.path.display();
            tracing::warn!(%path, %error, "the hosts file cannot be read");
        }
        hosts
    }
}

fn stamp(metadata: Metadata) -> Option<Stamp> {
    Some((metadata.modified().ok()?, metadata.len()))
}
