//! Reading a cache that an earlier process wrote, perhaps of another version.

use super::unfit::Unfit;
use super::{Database, FORMAT, LAST_GOOD, META_KEY, Meta, Open, ROW, digest_of};
use crate::data_plane::cache_writer::Cached;
use crate::model::{Config, Digest, Kind, Row};
use heed::{Env, WithoutTls};
use uuid::Uuid;

/// What a later version wrote and this one does not know.
#[derive(Default)]
pub(super) struct Unknown {
    keys: Vec<Vec<u8>>,
    rows: u64,
    digest: Digest,
    last_good: Digest,
}

/// The content of a cache that something was committed to.
pub(super) struct Content {
    pub cached: Cached,
    meta: Meta,
    unknown: Unknown,
}

/// Reads and checks everything. A cache nothing was ever committed to holds nothing. Rows of kinds
/// that only a later version knows are left out: a control plane would not have sent them.
pub(super) fn read(env: &Env<WithoutTls>, database: Database) -> Result<Option<Content>, Unfit> {
    let damaged = |reason: String| Err(Unfit::Damaged(reason));
    let txn = env.read_txn()?;
    let Some(meta) = database.get(&txn, META_KEY)? else {
        if database.is_empty(&txn)? {
            return Ok(None);
        }
        return damaged("it is not a cache of this gateway".into());
    };
    let meta: Meta = match rmp_serde::from_slice(meta) {
        Ok(meta) => meta,
        Err(err) => return damaged(format!("its description is malformed: {err}")),
    };
    if meta.format != FORMAT {
        let found = meta.format;
        return damaged(format!(
            "it has format {found}, this version reads {FORMAT}"
        ));
    }
    let mut rows = Vec::new();
    let mut last_good = Vec::new();
    let mut unknown = Unknown::default();
    for entry in database.iter(&txn)? {
        let (key, value) = entry?;
        if key == META_KEY {
            continue;
        }
        let Some((table, name, id)) = parse_key(key) else {
            return damaged("it holds what is no key".into());
        };
        match (Kind::parse(name), table) {
            (Some(kind), ROW) => rows.push((kind, id, Row::from_bytes(value))),
            (Some(kind), _) => {
                let row = (!value.is_empty()).then(|| Row::from_bytes(value));
                last_good.push((kind, id, row));
            }
            (None, table) => unknown.add(table, key, Digest::of_named(name, id, value)),
        }
    }
    let found = rows.len() as u64 + unknown.rows;
    if found != meta.rows {
        return damaged(format!("it holds {found} rows and says {}", meta.rows));
    }
    let config = Config::from_rows(meta.revision, rows);
    let good = digest_of(&last_good);
    if config.digest().plus(unknown.digest) != meta.digest
        || good.plus(unknown.last_good) != meta.last_good
    {
        return damaged("its content does not have its digest".into());
    }
    Ok(Some(Content {
        cached: Cached {
            source: meta.source,
            epoch: meta.epoch,
            config,
            last_good,
        },
        meta,
        unknown,
    }))
}

impl Open {
    /// Goes on from what was read, and deletes what this version does not know.
    pub(super) fn take_over(&mut self, content: Content) -> Result<Cached, Unfit> {
        let Content {
            cached,
            meta,
            unknown,
        } = content;
        self.meta = match unknown.keys.is_empty() {
            true => meta,
            false => {
                let last_good = digest_of(&cached.last_good);
                self.forget(&unknown, meta, &cached.config, last_good)?
            }
        };
        Ok(cached)
    }

    /// Leaves what this version knows.
    fn forget(
        &self,
        unknown: &Unknown,
        meta: Meta,
        config: &Config,
        last_good: Digest,
    ) -> Result<Meta, Unfit> {
        let entries = unknown.keys.len();
        tracing::warn!(
            entries,
            "the cache holds kinds of a later version; they are dropped"
        );
        let mut txn = self.env.write_txn()?;
        for key in &unknown.keys {
            self.database.delete(&mut txn, key)?;
        }
        let meta = Meta {
            digest: config.digest(),
            rows: config.len() as u64,
            last_good,
            ..meta
        };
        Ok(self.finish(txn, meta, last_good, &[])?)
    }
}

impl Unknown {
    fn add(&mut self, table: u8, key: &[u8], digest: Digest) {
        self.keys.push(key.to_vec());
        if table == ROW {
            self.rows += 1;
            self.digest = self.digest.plus(digest);
        } else {
            self.last_good = self.last_good.plus(digest);
        }
    }
}

/// The table, the name of the kind, and the id.
fn parse_key(key: &[u8]) -> Option<(u8, &str, Uuid)> {
    let (table, rest) = key.split_first()?;
    let (name, id) = rest.split_at_checked(rest.len().checked_sub(16)?)?;
    let name = std::str::from_utf8(name.strip_suffix(&[0])?).ok()?;
    let known = matches!(*table, ROW | LAST_GOOD);
    known.then_some((*table, name, Uuid::from_slice(id).ok()?))
}
