//! The node's stored responses: bounded by bytes and by number, shared by all workers.
//!
//! A look-up is one short lock of one of 16 shards. A full shard drops what is expired or was not
//! asked for since it was looked at last (the clock algorithm), so that making room takes constant
//! time on average.

use super::key::Key;
use crate::plugins::Timestamp;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;
/// Of all shards, in bytes: as large as Kong's default dictionary.
const CAPACITY: u64 = 128 * 1024 * 1024;
/// Of all shards.
const MOST_ENTRIES: usize = 64 * 1024;
/// What an entry takes beside its texts, in bytes.
const OVERHEAD: usize = 512;

/// A response of an upstream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StoredResponse {
    pub status: u16,
    pub headers: Vec<(Arc<str>, Bytes)>,
    pub body: Bytes,
    /// When its head came.
    pub stored_at: Timestamp,
    /// For how many seconds it is fresh.
    pub lifetime: u64,
}

impl StoredResponse {
    fn size(&self) -> u64 {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + value.len() + 64)
            .sum();
        (OVERHEAD + headers + self.body.len()) as u64
    }
}

/// How full the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub bytes: u64,
    pub capacity: u64,
}

#[derive(Debug)]
pub struct Store {
    shards: Vec<Mutex<Shard>>,
    /// Of one shard.
    capacity: u64,
    most_entries: usize,
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Key, Entry>,
    /// The entries in the order in which they are looked at to make room, each with its number:
    /// an entry whose number differs was removed or replaced.
    queue: VecDeque<(Key, u64)>,
    bytes: u64,
    next_number: u64,
}

#[derive(Debug)]
struct Entry {
    response: Arc<StoredResponse>,
    number: u64,
    size: u64,
    expires_at: Timestamp,
    /// A request asked for it since the last time that room was made.
    asked_for: bool,
}

impl Default for Store {
    fn default() -> Store {
        Store::new(CAPACITY, MOST_ENTRIES)
    }
}

impl Store {
    fn new(capacity: u64, most_entries: usize) -> Store {
        Store {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            capacity: capacity / SHARDS as u64,
            most_entries: most_entries / SHARDS,
            bytes: AtomicU64::new(0),
        }
    }

    pub fn usage(&self) -> Usage {
        Usage {
            bytes: self.bytes.load(Ordering::Relaxed),
            capacity: self.capacity * SHARDS as u64,
        }
    }

    /// The largest body that can be stored, in bytes.
    pub fn largest(&self) -> usize {
        usize::try_from(self.capacity / 2).unwrap_or(usize::MAX)
    }

    pub fn get(&self, key: &Key, now: Timestamp) -> Option<Arc<StoredResponse>> {
        let mut shard = self.shard(key)?;
        let entry = shard.entries.get_mut(key)?;
        if entry.expires_at > now {
            entry.asked_for = true;
            return Some(Arc::clone(&entry.response));
        }
        self.count(|| shard.remove(key));
        None
    }

    /// Keeps a response until `expires_at`, if it is not too large.
    pub fn put(&self, key: Key, response: StoredResponse, expires_at: Timestamp, now: Timestamp) {
        let size = response.size();
        let Some(mut shard) = self.shard(&key) else {
            return;
        };
        self.count(|| shard.remove(&key));
        if size > self.capacity {
            return;
        }
        let fits = |shard: &Shard| {
            shard.bytes + size <= self.capacity && shard.entries.len() < self.most_entries
        };
        while !fits(&shard) && !shard.entries.is_empty() {
            self.count(|| shard.drop_one(now));
        }
        let number = shard.next_number;
        shard.next_number += 1;
        let entry = Entry {
            response: Arc::new(response),
            number,
            size,
            expires_at,
            asked_for: false,
        };
        shard.entries.insert(key, entry);
        shard.queue.push_back((key, number));
        shard.bytes += size;
        self.bytes.fetch_add(size, Ordering::Relaxed);
        shard.forget_the_gone();
    }

    /// Takes off what a removal has freed.
    fn count(&self, remove: impl FnOnce() -> u64) {
        self.bytes.fetch_sub(remove(), Ordering::Relaxed);
    }

    fn shard(&self, key: &Key) -> Option<MutexGuard<'_, Shard>> {
        let shard = self.shards.get(key.part(SHARDS))?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    /// Says how many bytes are free now.
    fn remove(&mut self, key: &Key) -> u64 {
        let size = self.entries.remove(key).map_or(0, |entry| entry.size);
        self.bytes -= size;
        size
    }

    /// Looks at entries until one can go.
    fn drop_one(&mut self, now: Timestamp) -> u64 {
        while let Some((key, number)) = self.queue.pop_front() {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            if entry.number != number {
                continue;
            }
            if entry.asked_for && entry.expires_at > now {
                entry.asked_for = false;
                self.queue.push_back((key, number));
                continue;
            }
            return self.remove(&key);
        }
        0
    }

    /// Entries that were replaced leave their places in the queue: it must not grow by them.
    fn forget_the_gone(&mut self) {
        if self.queue.len() <= 2 * self.entries.len() + 16 {
            return;
        }
        let entries = &self.entries;
        self.queue.retain(|(key, number)| {
            let entry = entries.get(key);
            entry.is_some_and(|entry| entry.number == *number)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &str) -> StoredResponse {
        StoredResponse {
            status: 200,
            body: Bytes::copy_from_slice(body.as_bytes()),
            ..StoredResponse::default()
        }
    }

    const NOW: Timestamp = Timestamp(1000);
    const LATER: Timestamp = Timestamp(2000);

    fn body(store: &Store, key: &Key, now: Timestamp) -> Option<Bytes> {
        store.get(key, now).map(|found| found.body.clone())
    }

    #[test]
    fn a_response_is_found_until_it_expires() {
        let store = Store::default();
        let key = Key::of("a");
        assert_eq!(body(&store, &key, NOW), None);
        store.put(key, response("one"), LATER, NOW);
        store.put(key, response("two"), LATER, NOW);
        assert_eq!(body(&store, &key, NOW).as_deref(), Some(&b"two"[..]));
        assert_eq!(store.usage().bytes, response("two").size());
        assert_eq!(body(&store, &key, LATER), None);
        assert_eq!(store.usage().bytes, 0);
    }

    #[test]
    fn the_store_stays_within_its_bounds_and_keeps_what_is_asked_for() {
        let size = response("x").size();
        let store = Store::new(SHARDS as u64 * size * 4, SHARDS * 1000);
        let loved = Key::of("loved");
        store.put(loved, response("x"), LATER, NOW);
        for n in 0..1000 {
            assert!(body(&store, &loved, NOW).is_some(), "{n}");
            store.put(Key::of(&n.to_string()), response("x"), LATER, NOW);
            let usage = store.usage();
            assert!(usage.bytes <= usage.capacity, "{usage:?}");
        }
        assert_eq!(store.usage().bytes, store.usage().capacity);
        let held = |shard: &Mutex<Shard>| shard.lock().expect("sound").queue.len();
        assert!(store.shards.iter().map(held).all(|held| held <= 24));
    }

    #[test]
    fn the_number_of_responses_is_bounded_and_a_queue_does_not_grow_by_replacements() {
        let store = Store::new(CAPACITY, SHARDS * 2);
        let key = Key::of("a");
        for _ in 0..100 {
            store.put(key, response("x"), LATER, NOW);
        }
        for n in 0..500 {
            store.put(Key::of(&n.to_string()), response("x"), LATER, NOW);
        }
        for shard in &store.shards {
            let shard = shard.lock().expect("sound");
            assert!(shard.entries.len() <= 2 && shard.queue.len() <= 20);
        }
    }

    #[test]
    fn what_is_larger_than_a_shard_is_not_kept() {
        let store = Store::new(SHARDS as u64 * 1000, 1000);
        store.put(Key::of("a"), response(&"x".repeat(1000)), LATER, NOW);
        assert_eq!(store.usage().bytes, 0);
        assert!(store.largest() < 1000);
    }
}
