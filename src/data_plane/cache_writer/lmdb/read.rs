//! Reading a cache that an earlier process wrote, perhaps of another version.

use super::{FORMAT, LAST_GOOD, META_KEY, Meta, Open, ROW, Unfit, digest_of};
use crate::data_plane::cache_writer::Cached;
use crate::model::{Config, Digest, Kind, Row};
use uuid::Uuid;

/// What a later version wrote and this one does not know.
#[derive(Default)]
struct Unknown {
    keys: Vec<Vec<u8>>,
    rows: u64,
    digest: Digest,
    last_good: Digest,
}

impl Open {
    /// Reads and checks everything. A cache nothing was ever committed to holds nothing. Rows of
    /// kinds that only a later version knows are dropped: a control plane would not have sent
    /// them.
    pub(super) fn read(&mut self) -> Result<Option<Cached>, Unfit> {
        let txn = self.env.read_txn()?;
        let Some(meta) = self.database.get(&txn, META_KEY)? else {
            if self.database.is_empty(&txn)? {
                return Ok(None);
            }
            return Err(Unfit("it is not a cache of this gateway".into()));
        };
        let meta: Meta = rmp_serde::from_slice(meta)
            .map_err(|err| Unfit(format!("its description is malformed: {err}")))?;
        if meta.format != FORMAT {
            return Err(Unfit(format!(
                "it has format {}, this version reads {FORMAT}",
                meta.format
            )));
        }
        let mut rows = Vec::new();
        let mut last_good = Vec::new();
        let mut unknown = Unknown::default();
        for entry in self.database.iter(&txn)? {
            let (key, value) = entry?;
            if key == META_KEY {
                continue;
            }
            let (table, name, id) =
                parse_key(key).ok_or_else(|| Unfit("it holds what is no key".into()))?;
            match (Kind::parse(name), table) {
                (Some(kind), ROW) => rows.push((kind, id, Row::from_bytes(value))),
                (Some(kind), _) => {
                    let row = (!value.is_empty()).then(|| Row::from_bytes(value));
                    last_good.push((kind, id, row));
                }
                (None, table) => unknown.add(table, key, Digest::of_named(name, id, value)),
            }
        }
        drop(txn);
        let found = rows.len() as u64 + unknown.rows;
        if found != meta.rows {
            return Err(Unfit(format!(
                "it holds {found} rows and says {}",
                meta.rows
            )));
        }
        let config = Config::from_rows(meta.revision, rows);
        let good = digest_of(&last_good);
        if config.digest().plus(unknown.digest) != meta.digest
            || good.plus(unknown.last_good) != meta.last_good
        {
            return Err(Unfit("its content does not have its digest".into()));
        }
        self.meta = match unknown.keys.is_empty() {
            true => meta,
            false => self.forget(&unknown, meta, &config, good)?,
        };
        Ok(Some(Cached {
            epoch: self.meta.epoch,
            config,
            last_good,
        }))
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
