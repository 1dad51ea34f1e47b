//! Every shell block of the README and of `docs/` is run. The first line of a block says where:
//! `docs/testing.md` has the table.

mod blocks;
mod development;
mod machine;
mod stories;
mod tour;

use blocks::{Block, Place, all_blocks};

/// The blocks of a place, in the order of the pages; there is at least one.
fn of(place: Place) -> Vec<Block> {
    let blocks = all_blocks().into_iter();
    let blocks: Vec<_> = blocks.filter(|block| block.place == place).collect();
    assert!(
        !blocks.is_empty(),
        "no block runs in {place:?}: remove the place"
    );
    blocks
}

#[test]
fn every_block_says_where_it_runs() {
    for block in all_blocks() {
        if block.place == Place::Compose {
            // What that test looks for and what it does with it.
            let plain = !block.background && block.output.is_none();
            let page = block.at.starts_with("README.md") || block.at.starts_with("docs/");
            assert!(plain && page, "{}: nobody would run it", block.at);
        }
    }
    // Every place has a test that runs its blocks, and so there are blocks of every place.
    for place in Place::RUN {
        of(place);
    }
}
