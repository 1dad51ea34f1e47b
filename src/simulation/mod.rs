//! A whole cluster in one thread, driven by a seed: data planes, control planes on one
//! journal, links that drop, disks that are slow, processes that die.
//!
//! It runs what the binary runs: both protocols' step functions, `Config::apply`, the frames,
//! the history and the cache trait. Only time, chance, sockets and the disk are its own.

mod actors;
mod clients;
mod network;
mod nodes;
mod sessions;
mod world;

use world::{Bug, Stats, World};

/// Runs one seed to the end.
fn run(seed: u64, bug: Option<Bug>) -> Result<Stats, String> {
    let mut world = World::new(seed, bug);
    world
        .run()
        .map_err(|what| format!("seed {seed}, {:?}: {what}", world.now()))
}

/// Runs many seeds, on all processors.
fn run_all(seeds: std::ops::Range<u64>) -> Stats {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let shares: Vec<Stats> = std::thread::scope(|scope| {
        let share = |thread: usize| {
            let seeds = seeds.clone().skip(thread).step_by(threads);
            move || {
                let mut total = Stats::default();
                for seed in seeds {
                    match run(seed, None) {
                        Ok(stats) => total += stats,
                        Err(failure) => panic!("{failure}"),
                    }
                }
                total
            }
        };
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(share(thread)))
            .collect();
        let joined = running.into_iter().map(|thread| thread.join());
        joined
            .map(|share| share.expect("every seed holds"))
            .collect()
    });
    let mut total = Stats::default();
    shares.into_iter().for_each(|share| total += share);
    total
}

/// How many of the seeds find the bug, and what the first one says.
fn find(bug: Bug, seeds: u64) -> (usize, String) {
    let found: Vec<String> = (0..seeds)
        .filter_map(|seed| run(seed, Some(bug)).err())
        .collect();
    (found.len(), found.into_iter().next().unwrap_or_default())
}

#[test]
fn a_thousand_clusters_converge() {
    let total = run_all(0..1000);
    // The seeds reach what they are meant to reach.
    let Stats {
        writes,
        changes,
        snapshots,
        acknowledgements,
        crashes,
        dropped_links,
        ghosts,
        failed_writes,
        ahead,
        restores,
        noticed,
        challenges,
    } = total;
    assert!(writes > 10_000, "{total:?}");
    assert!(changes > 10_000, "{total:?}");
    assert!(snapshots > 1_000, "{total:?}");
    assert!(acknowledgements > 10_000, "{total:?}");
    assert!(crashes > 1_000 && dropped_links > 1_000, "{total:?}");
    assert!(ghosts > 100 && failed_writes > 100, "{total:?}");
    assert!(ahead > 10 && restores > 10, "{total:?}");
    assert!(challenges > 100 && noticed > 10, "{total:?}");
}

#[test]
fn a_lost_acknowledgement_is_found() {
    let (found, first) = find(Bug::LostAcknowledgement, 60);
    assert!(found > 5, "{found} seeds");
    assert!(first.contains("did not converge"), "{first}");
}

#[test]
fn reordering_is_found() {
    let (found, first) = find(Bug::Reordering, 60);
    assert!(found > 5, "{found} seeds");
    assert!(
        first.contains("rejected") || first.contains("violation"),
        "{first}"
    );
}

#[test]
fn an_acknowledgement_before_persistence_is_found() {
    let (found, first) = find(Bug::AcknowledgementBeforePersistence, 60);
    assert!(found > 5, "{found} seeds");
    assert!(first.contains("acknowledges"), "{first}");
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in 0..5 {
        assert_eq!(run(seed, None), run(seed, None));
    }
}
