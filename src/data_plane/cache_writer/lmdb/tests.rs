//! The cache on a real disk, whole and damaged in every way we could think of.

use super::super::is_cache_in_use;
use super::*;
use heed::{CommitOrAbort, EnvOpenOptions};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const MAP: usize = 32 << 20;

fn put(kind: Kind, id: u128, size: usize) -> Op {
    let text: String = std::iter::repeat_n(char::from(b'a' + (id % 26) as u8), size).collect();
    let json = serde_json::json!({ "id": id.to_string(), "text": text });
    Op::Put {
        kind,
        id: Uuid::from_u128(id),
        row: Row::from_json(json.as_object().expect("an object")),
    }
}

fn last_good(n: u8) -> Vec<LastGoodRow> {
    (0..n)
        .map(|n| {
            let id = Uuid::from_u128(n.into());
            (Kind::Plugins, id, (n > 0).then(|| Row::from_bytes(&[n, 7])))
        })
        .collect()
}

fn open(dir: &TempDir) -> (LmdbCache, Option<Cached>) {
    open_sized(dir, MAP)
}

#[test]
fn trial_02_a_cache_says_whose_configuration_it_holds() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = filled(&dir, 20);
    let path = dir.path().join("dbless.lmdb");
    let mut own = LmdbCache::new(&path, MAP).of(CacheSource::Own);
    // What an earlier version wrote says nothing.
    assert_eq!(own.load().expect("loads").expect("some").source, None);
    own.replace(3, &config, &[]).expect("replaces");
    assert_eq!(
        own.load().expect("loads").expect("some").source,
        Some(CacheSource::Own)
    );
    drop(own);
    let mut cluster = LmdbCache::new(&path, MAP).of(CacheSource::Cluster);
    let mut config = config;
    cluster.load().expect("loads");
    let change = config.commit(config.revision().next(), vec![put(Kind::Routes, 9, 10)]);
    cluster.commit(3, &change, &[]).expect("commits");
    let cached = cluster.load().expect("loads").expect("some");
    assert_eq!(
        (cached.source, cached.config),
        (Some(CacheSource::Cluster), config)
    );
}

fn open_sized(dir: &TempDir, map_size: usize) -> (LmdbCache, Option<Cached>) {
    let mut cache = LmdbCache::new(dir.path().join("dbless.lmdb"), map_size);
    let cached = cache.load().expect("loads");
    (cache, cached)
}

/// A cache with rows of all sizes that has been rewritten often enough to have free pages.
fn filled(dir: &TempDir, rows: u128) -> Config {
    let (mut cache, _) = open(dir);
    let mut config = Config::default();
    cache.replace(3, &config, &[]).expect("replaces");
    for round in 0..4u128 {
        let ops = (0..rows).filter(|id| round == 0 || id % 3 == round % 3);
        let ops = ops.map(|id| {
            let kind = Kind::ALL[(id % 10) as usize];
            if round == 3 && id.is_multiple_of(5) {
                let id = Uuid::from_u128(id);
                return Op::Delete { kind, id };
            }
            put(kind, id, (id as usize * 37 + round as usize * 900) % 6000)
        });
        let change = config.commit(config.revision().next(), ops.collect());
        let position = cache.commit(3, &change, &last_good(2)).expect("commits");
        assert_eq!(position, Position::of(3, &config));
    }
    config
}

#[test]
fn a_cache_gives_back_what_was_committed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (cache, cached) = open(&dir);
    assert_eq!(cached, None);
    drop(cache);
    let config = filled(&dir, 200);
    let (mut cache, cached) = open(&dir);
    let expected = Cached {
        source: None,
        epoch: 3,
        config: config.clone(),
        last_good: last_good(2),
    };
    assert_eq!(cached, Some(expected));
    assert_eq!(cache.moved_aside(), None);

    // A change after a restart, and a replacement.
    let mut config = config;
    let change = config.commit(config.revision().next(), vec![put(Kind::Routes, 9999, 10)]);
    cache.commit(3, &change, &[]).expect("commits");
    assert_eq!(cache.load().expect("loads").expect("some").config, config);
    let mut other = Config::default();
    other.commit(Revision(2), vec![put(Kind::Services, 1, 5000)]);
    let position = cache.replace(4, &other, &last_good(1)).expect("replaces");
    assert_eq!(position, Position::of(4, &other));
    let expected = Cached {
        source: None,
        epoch: 4,
        config: other,
        last_good: last_good(1),
    };
    assert_eq!(cache.load().expect("loads"), Some(expected));
}

/// After a downgrade what only the later version knew is dropped, and the rest serves.
#[test]
fn kinds_of_a_later_version_are_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = filled(&dir, 20);
    let (cache, _) = open(&dir);
    let later = cache.open.as_ref().expect("is open");
    let (id, row) = (Uuid::from_u128(7), b"fire");
    let digest = Digest::of_named("dragons", id, row);
    let mut txn = later.env.write_txn().expect("begins");
    for table in [ROW, LAST_GOOD] {
        let key = [&[table][..], b"dragons\0", id.as_bytes()].concat();
        later.database.put(&mut txn, &key, row).expect("puts");
    }
    let meta = Meta {
        digest: later.meta.digest.plus(digest),
        rows: later.meta.rows + 1,
        last_good: later.meta.last_good.plus(digest),
        ..later.meta.clone()
    };
    let bytes = rmp_serde::to_vec_named(&meta).expect("encodes");
    later
        .database
        .put(&mut txn, META_KEY, &bytes)
        .expect("puts");
    txn.commit().expect("commits");
    drop(cache);

    let (mut cache, cached) = open(&dir);
    let expected = Cached {
        source: None,
        epoch: 3,
        config: config.clone(),
        last_good: last_good(2),
    };
    assert_eq!((cached, cache.moved_aside()), (Some(expected), None));
    let change = config.commit(config.revision().next(), vec![put(Kind::Routes, 9, 10)]);
    cache.commit(3, &change, &[]).expect("commits");
    assert_eq!(cache.load().expect("loads").expect("some").config, config);
}

#[test]
fn a_refused_change_leaves_the_cache_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = filled(&dir, 20);
    let (mut cache, _) = open(&dir);
    let mut next = config.clone();
    let good = next.commit(config.revision().next(), vec![put(Kind::Routes, 1, 1)]);
    let wrong_base = Change {
        base: Revision(1),
        ..good.clone()
    };
    assert!(matches!(
        cache.commit(3, &wrong_base, &[]),
        Err(CacheError::WrongBase { .. })
    ));
    assert!(matches!(
        cache.commit(2, &good, &[]),
        Err(CacheError::WrongBase { .. })
    ));
    let wrong_digest = Change {
        digest: Digest::default(),
        ..good.clone()
    };
    assert!(matches!(
        cache.commit(3, &wrong_digest, &[]),
        Err(CacheError::DigestMismatch { .. })
    ));
    assert_eq!(cache.load().expect("loads").expect("some").config, config);
    assert!(cache.commit(3, &good, &[]).is_ok());
    assert_eq!(cache.load().expect("loads").expect("some").config, next);
}

#[test]
fn a_full_map_is_an_error_and_the_cache_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut cache, _) = open_sized(&dir, 1 << 20);
    let mut config = Config::default();
    let change = config.commit(Revision(1), vec![put(Kind::Routes, 1, 1000)]);
    cache.commit(0, &change, &[]).expect("commits");
    let ops = (2..3000).map(|id| put(Kind::Routes, id, 1000)).collect();
    let too_much = config.clone().commit(Revision(2), ops);
    assert!(matches!(
        cache.commit(0, &too_much, &[]),
        Err(CacheError::Full {
            map_size: 1_048_576
        })
    ));
    let change = config.commit(Revision(2), vec![put(Kind::Routes, 2, 1000)]);
    cache.commit(0, &change, &[]).expect("still commits");
    assert_eq!(cache.load().expect("loads").expect("some").config, config);
}

#[test]
fn one_path_is_never_open_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let (cache, _) = open(&dir);
    let path = dir.path().join("dbless.lmdb");
    let mut second = LmdbCache::new(&path, MAP);
    assert!(is_cache_in_use(&path));
    assert!(matches!(second.load(), Err(CacheError::InUse(_))));
    assert!(matches!(
        second.replace(0, &Config::default(), &[]),
        Err(CacheError::NotLoaded)
    ));
    drop(cache);
    assert!(!is_cache_in_use(&path));
    assert!(!is_cache_in_use(&dir.path().join("never")));
    assert!(second.load().is_ok());
}

#[test]
fn a_copied_directory_starts_a_new_node() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let config = filled(&old, 100);
    let to = new.path().join("dbless.lmdb");
    fs::create_dir(&to).expect("creates");
    for name in ["data.mdb", "lock.mdb"] {
        let from = old.path().join("dbless.lmdb").join(name);
        fs::copy(from, to.join(name)).expect("copies");
    }
    let (cache, cached) = open(&new);
    assert_eq!(cached.expect("some").config, config);
    assert_eq!(cache.moved_aside(), None);
}

/// Damages a filled cache, loads it, and writes to what the load leaves.
fn survives(name: &str, damage: impl FnOnce(&Path)) -> (Option<Cached>, Option<MovedAside>) {
    let dir = tempfile::tempdir().expect("a directory");
    filled(&dir, 60);
    let path = dir.path().join("dbless.lmdb");
    damage(&path);
    let (mut cache, cached) = open(&dir);
    let mut config = Config::default();
    config.commit(
        Revision(1000),
        (0..100).map(|id| put(Kind::Routes, id, 3000)).collect(),
    );
    cache.replace(9, &config, &[]).expect(name);
    assert_eq!(cache.load().expect(name).expect(name).config, config);
    (cached, cache.moved_aside().cloned())
}

#[test]
fn a_damaged_cache_is_moved_aside() {
    let check = |name: &str, expected: &str, damage: &dyn Fn(&Path)| {
        let (cached, moved) = survives(name, damage);
        let moved = moved.unwrap_or_else(|| panic!("{name}: was taken for good"));
        assert_eq!(cached, None, "{name}");
        assert!(moved.to.ends_with("dbless.lmdb.damaged-1"), "{name}");
        assert!(moved.reason.contains(expected), "{name}: {}", moved.reason);
    };
    let write = |path: &Path, bytes: &[u8]| fs::write(path.join("data.mdb"), bytes).expect("w");
    check("a file", "not a directory", &|path| {
        fs::remove_dir_all(path).expect("removes");
        fs::write(path, "not a directory").expect("writes");
    });
    check("a dangling link", "not a directory", &|path| {
        fs::remove_dir_all(path).expect("removes");
        std::os::unix::fs::symlink("/nowhere/at/all", path).expect("links");
    });
    check("an empty file", "empty", &|path| write(path, &[]));
    check("text", "meta page", &|path| {
        write(path, &b"not LMDB at all\n".repeat(2000));
    });
    check("zeros", "meta page", &|path| write(path, &[0; 40_000]));
    check("one byte", "shorter", &|path| write(path, &[0]));
    check("another format", "format 7", &|path| {
        let mut cache = LmdbCache::new(path, MAP);
        cache.load().expect("loads");
        let open = cache.open.as_ref().expect("is open");
        let meta = Meta {
            format: 7,
            ..open.meta.clone()
        };
        let mut txn = open.env.write_txn().expect("begins");
        let bytes = rmp_serde::to_vec_named(&meta).expect("encodes");
        open.database
            .put(&mut txn, META_KEY, &bytes)
            .expect("writes");
        txn.commit().expect("commits");
    });
    check("someone else's", "not a cache", &|path| {
        fs::remove_dir_all(path).expect("removes");
        let mut cache = LmdbCache::new(path, MAP);
        cache.load().expect("loads");
        let open = cache.open.as_ref().expect("is open");
        let mut txn = open.env.write_txn().expect("begins");
        open.database
            .put(&mut txn, b"services:abc", b"...")
            .expect("writes");
        txn.commit().expect("commits");
    });
    check("someone else's tables", "foreign kind", &|path| {
        fs::remove_dir_all(path).expect("removes");
        fs::create_dir(path).expect("creates");
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP).max_dbs(2);
        // SAFETY: nobody else has this directory.
        let env = unsafe { options.open(path) }.expect("opens");
        let txn = env.write_txn().expect("begins");
        env.create_databases_and_commit(txn, |opener, txn| {
            let table = opener.create_database::<Bytes, Bytes>(txn, Some("_default"))?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(table))
        })
        .expect("creates");
    });
}

/// A copied directory without its lock file, or one of which only the folder was made.
#[test]
fn a_cache_without_a_data_file_is_new() {
    let (cached, moved) = survives("empty", |path| {
        fs::remove_file(path.join("data.mdb")).expect("removes");
    });
    assert_eq!((cached, moved), (None, None));
}

#[test]
fn trial_06_what_may_not_be_opened_is_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } == 0 {
        // The superuser may open everything: `unusable_cache` of the integration tests tries it as
        // somebody else.
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    filled(&dir, 60);
    let path = dir.path().join("dbless.lmdb");
    for name in ["data.mdb", "lock.mdb"] {
        let file = path.join(name);
        let mode = |mode| fs::Permissions::from_mode(mode);
        fs::set_permissions(&file, mode(0o000)).expect("forbids");
        let mut cache = LmdbCache::new(&path, MAP);
        let Err(CacheError::Forbidden { path: named, .. }) = cache.load() else {
            panic!("{name} was opened");
        };
        assert_eq!(Path::new(&named), file);
        fs::set_permissions(&file, mode(0o600)).expect("allows");
        assert!(cache.load().expect("loads").is_some());
    }
}

#[test]
fn trial_06_what_is_no_file_is_an_error_and_stays() {
    let check = |name: &str, expected: &str, make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().expect("a directory");
        filled(&dir, 60);
        let path = dir.path().join(name);
        match path.is_dir() {
            true => fs::remove_dir_all(&path).expect("removes"),
            false => fs::remove_file(&path).expect("removes"),
        }
        make(&path);
        let mut cache = LmdbCache::new(dir.path().join("dbless.lmdb"), MAP);
        match cache.load() {
            Err(CacheError::NotTheKind {
                path: named, found, ..
            }) => {
                assert_eq!((Path::new(&named), found), (&*path, expected));
            }
            other => panic!("{name}: {other:?}"),
        }
        assert!(path.symlink_metadata().is_ok(), "{name} was moved");
    };
    let fifo = |path: &Path| {
        let name = std::ffi::CString::new(path.to_str().expect("a path")).expect("a path");
        // SAFETY: the path is a C string that lives for the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    };
    let folder = |path: &Path| fs::create_dir(path).expect("creates");
    for name in [
        "dbless.lmdb/data.mdb",
        "dbless.lmdb/lock.mdb",
        "dbless.lmdb.lock",
    ] {
        check(name, "named pipe", &fifo);
        check(name, "directory", &folder);
        check(name, "socket", &|path| {
            drop(std::os::unix::net::UnixListener::bind(path).expect("a socket"));
        });
    }
    check("dbless.lmdb", "named pipe", &fifo);
}

#[test]
fn every_truncation_is_noticed() {
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..8 {
        let (cached, moved) = survives("truncated", |path| {
            let path = path.join("data.mdb");
            let bytes = fs::read(&path).expect("reads");
            let length = random.random_range(1..bytes.len() - 4096);
            fs::write(&path, &bytes[..length]).expect("writes");
        });
        // What was cut off may all have been free pages; then nothing is lost.
        assert_ne!(cached.is_some(), moved.is_some());
    }
}

/// If `inspect` let anything through that LMDB stumbles over, this process would not survive.
#[test]
fn no_damage_reaches_lmdb() {
    let mut random = StdRng::seed_from_u64(2);
    let (mut kept, mut set_aside) = (0, 0);
    let dir = tempfile::tempdir().expect("a directory");
    let good = filled(&dir, 60);
    let path = dir.path().join("dbless.lmdb");
    let bytes = fs::read(path.join("data.mdb")).expect("reads");
    for _ in 0..150 {
        let mut damaged = bytes.clone();
        match random.random_range(0..4) {
            // Bits in the places that hold structure.
            0 => {
                let page = random.random_range(0..damaged.len() / 4096) * 4096;
                let at = page + random.random_range(0..256);
                damaged[at] ^= 1 << random.random_range(0..8);
            }
            1 => {
                let at = random.random_range(0..damaged.len());
                damaged[at] = random.random();
            }
            2 => {
                let at = random.random_range(0..damaged.len() - 64);
                random.fill(&mut damaged[at..at + 64]);
            }
            // A page that was written to the wrong place, or not at all.
            _ => {
                let pages = damaged.len() / 4096;
                let [from, to] = [(); 2].map(|()| random.random_range(0..pages) * 4096);
                damaged.copy_within(from..from + 4096, to);
            }
        }
        fs::write(path.join("data.mdb"), &damaged).expect("writes");
        let (mut cache, cached) = open(&dir);
        match (cached, cache.moved_aside()) {
            (Some(cached), None) => {
                assert_eq!(cached.config, good);
                kept += 1;
            }
            (None, Some(moved)) => {
                fs::remove_dir_all(&moved.to).expect("removes");
                set_aside += 1;
            }
            other => panic!("{other:?}"),
        }
        let mut config = good.clone();
        let ops = (0..80).map(|id| put(Kind::Routes, id, 2500)).collect();
        let change = config.commit(config.revision().next(), ops);
        if cache.commit(3, &change, &[]).is_err() {
            cache.replace(3, &config, &[]).expect("replaces");
        }
        assert_eq!(cache.load().expect("loads").expect("some").config, config);
    }
    assert!(kept > 5 && set_aside > 50, "{kept} kept, {set_aside} not");
}

#[test]
fn what_cannot_even_be_moved_aside_is_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("prefix"), "a file").expect("writes");
    let mut cache = LmdbCache::new(dir.path().join("prefix/dbless.lmdb"), MAP);
    assert!(matches!(cache.load(), Err(CacheError::Unusable { .. })));
}

#[test]
fn many_rows_load() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut cache = LmdbCache::new(dir.path().join("dbless.lmdb"), 64 << 20);
    cache.load().expect("loads");
    let mut config = Config::default();
    let ops = (0..20_000).map(|id| put(Kind::ALL[(id % 10) as usize], id, 300));
    config.commit(Revision(1), ops.collect());
    cache.replace(0, &config, &[]).expect("replaces");
    let cached = cache.load().expect("loads").expect("some");
    assert_eq!(cached.config.digest(), config.digest());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_cache_follows_the_configuration(
        writes in proptest::collection::vec(
            proptest::collection::vec((0usize..10, 0u128..12, proptest::option::of(0usize..3000)), 0..12),
            1..8,
        ),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut cache, _) = open(&dir);
        let mut config = Config::default();
        for (n, write) in writes.into_iter().enumerate() {
            let ops = write.into_iter().map(|(kind, id, size)| {
                let kind = Kind::ALL[kind];
                match size {
                    Some(size) => put(kind, id, size),
                    None => Op::Delete { kind, id: Uuid::from_u128(id) },
                }
            });
            let change = config.commit(config.revision().next(), ops.collect());
            let quarantined = last_good((n % 3) as u8);
            cache.commit(0, &change, &quarantined).expect("commits");
            let cached = cache.load().expect("loads").expect("some");
            prop_assert_eq!(&cached.config, &config);
            prop_assert_eq!(cached.last_good, quarantined);
        }
    }
}
