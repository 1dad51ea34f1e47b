//! Randomness from the operating system: the [`Random`] of a running node.

use super::env::Random;
use rand::Rng;
use rand::distr::Alphanumeric;
use uuid::Uuid;

/// Ids and secrets that nobody can guess.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }

    fn token(&self) -> String {
        let mut random = rand::rng();
        (0..32)
            .map(|_| char::from(random.sample(Alphanumeric)))
            .collect()
    }
}
