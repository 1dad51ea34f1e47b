//! Checks an LMDB data file before LMDB maps it.
//!
//! LMDB trusts its file: a truncated or damaged one ends in SIGSEGV, SIGBUS or a failed
//! assertion, none of which a process survives. So everything LMDB would follow is followed
//! here first, with every bound checked: both meta pages, the tree of rows and the tree of
//! free pages. Rows may still be wrong after this; the digest tells.
//!
//! The layout is that of LMDB's data format 1 on 64-bit machines, in the machine's own byte
//! order (`mdb.c`: `MDB_page`, `MDB_node`, `MDB_meta`, `MDB_db`).

use std::fs::File;
use std::os::unix::fs::FileExt;

const MAGIC: u32 = 0xBEEF_C0DE;
const DATA_VERSION: u32 = 1;
const PAGE_HEADER: usize = 16;
const NODE_HEADER: usize = 8;
/// Where the content of a meta page begins.
const META: usize = PAGE_HEADER;
const NO_PAGE: u64 = u64::MAX;
const DEEPEST: u16 = 32;

const P_BRANCH: u16 = 0x01;
const P_LEAF: u16 = 0x02;
const P_OVERFLOW: u16 = 0x04;
const P_META: u16 = 0x08;
const F_BIGDATA: u16 = 0x01;
const INTEGER_KEY: u16 = 0x08;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Structure(String),
}

fn broken<T>(what: impl Into<String>) -> Result<T, Damage> {
    Err(Damage::Structure(what.into()))
}

/// Checks the structure of a data file. `map_size` is the size LMDB would map, in bytes.
///
/// # Errors
/// When LMDB must not be given this file.
pub fn inspect(file: &File, map_size: u64) -> Result<(), Damage> {
    let length = file.metadata()?.len();
    let mut head = [0u8; META + 136];
    if length < head.len() as u64 {
        return broken("it is shorter than a page");
    }
    file.read_exact_at(&mut head, 0)?;
    let first = Meta::parse(&head)?;
    let page_size = first.page_size as usize;
    if !page_size.is_power_of_two() || !(512..=65_536).contains(&page_size) {
        return broken(format!("a page size of {page_size} bytes"));
    }
    if length < 2 * page_size as u64 {
        return broken("it is shorter than its two meta pages");
    }
    file.read_exact_at(&mut head, page_size as u64)?;
    let second = Meta::parse(&head)?;
    if second.page_size != first.page_size {
        return broken("its meta pages differ in page size");
    }
    let meta = if second.transaction > first.transaction {
        second
    } else {
        first
    };
    let Some(pages) = meta.last_page.checked_add(1) else {
        return broken("its last page has no number");
    };
    // The last pages may be free and never have been written.
    if pages > length.max(map_size) / page_size as u64 {
        return broken("it has more pages than fit the file");
    }
    let mut walk = Walk {
        file,
        page_size,
        pages,
        written: length / page_size as u64,
        seen: vec![0; (length / page_size as u64).div_ceil(64) as usize],
        transaction: meta.transaction,
    };
    let mut free_pages = Vec::new();
    walk.tree(&meta.rows, &mut |_, _| Ok(()))?;
    walk.tree(&meta.free, &mut |key, data| {
        free_pages.push((key.to_vec(), data.to_vec()));
        Ok(())
    })?;
    for (key, list) in &free_pages {
        walk.free_list(key, list)?;
    }
    Ok(())
}

/// One of the two pages that say where everything is.
struct Meta {
    page_size: u32,
    free: Tree,
    rows: Tree,
    last_page: u64,
    transaction: u64,
}

struct Tree {
    integer_keys: bool,
    depth: u16,
    branch_pages: u64,
    leaf_pages: u64,
    overflow_pages: u64,
    entries: u64,
    root: u64,
}

impl Meta {
    fn parse(page: &[u8]) -> Result<Meta, Damage> {
        if u16_at(page, 10)? != P_META {
            return broken("a meta page is none");
        }
        if u32_at(page, META)? != MAGIC {
            return broken("it is not an LMDB file");
        }
        let version = u32_at(page, META + 4)?;
        if version != DATA_VERSION {
            return broken(format!("LMDB data format {version}"));
        }
        if u64_at(page, META + 8)? != 0 {
            return broken("it wants a fixed address");
        }
        let free = META + 24;
        let rows = free + 48;
        let meta = Meta {
            page_size: u32_at(page, free)?,
            free: Tree::parse(page, free, INTEGER_KEY)?,
            rows: Tree::parse(page, rows, 0)?,
            last_page: u64_at(page, rows + 48)?,
            transaction: u64_at(page, rows + 56)?,
        };
        if meta.last_page < 1 {
            return broken("it has no pages");
        }
        Ok(meta)
    }
}

impl Tree {
    fn parse(page: &[u8], at: usize, flags: u16) -> Result<Tree, Damage> {
        if u16_at(page, at + 4)? != flags {
            return broken("a tree of a foreign kind");
        }
        Ok(Tree {
            integer_keys: flags == INTEGER_KEY,
            depth: u16_at(page, at + 6)?,
            branch_pages: u64_at(page, at + 8)?,
            leaf_pages: u64_at(page, at + 16)?,
            overflow_pages: u64_at(page, at + 24)?,
            entries: u64_at(page, at + 32)?,
            root: u64_at(page, at + 40)?,
        })
    }
}

type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> Result<(), Damage>;

/// Follows trees through the file; never visits a page twice, so it always ends.
struct Walk<'f> {
    file: &'f File,
    page_size: usize,
    pages: u64,
    /// Pages that lie within the file.
    written: u64,
    seen: Vec<u64>,
    transaction: u64,
}

/// What was found so far in one tree.
#[derive(Default)]
struct Found {
    branch_pages: u64,
    leaf_pages: u64,
    overflow_pages: u64,
    entries: u64,
    /// No key that follows may be smaller.
    floor: Vec<u8>,
    /// The floor itself is a key already.
    floor_taken: bool,
}

impl Walk<'_> {
    fn tree(&mut self, tree: &Tree, visit: Visit<'_>) -> Result<(), Damage> {
        let mut found = Found::default();
        if tree.root == NO_PAGE {
            if tree.depth != 0 {
                return broken("a tree without root that is not empty");
            }
        } else {
            if tree.depth == 0 || tree.depth > DEEPEST {
                return broken(format!("a tree of depth {}", tree.depth));
            }
            self.page(tree, tree.root, 1, &mut found, visit)?;
        }
        let agrees = found.branch_pages == tree.branch_pages
            && found.leaf_pages == tree.leaf_pages
            && found.overflow_pages == tree.overflow_pages
            && found.entries == tree.entries;
        if !agrees {
            return broken("a tree does not have the pages and entries it says");
        }
        Ok(())
    }

    fn page(
        &mut self,
        tree: &Tree,
        number: u64,
        depth: u16,
        found: &mut Found,
        visit: Visit<'_>,
    ) -> Result<(), Damage> {
        self.claim(number)?;
        let mut page = vec![0u8; self.page_size];
        self.file
            .read_exact_at(&mut page, number * self.page_size as u64)?;
        let leaf = match u16_at(&page, 10)? {
            P_LEAF => true,
            P_BRANCH => false,
            flags => return broken(format!("page {number} has flags {flags:#x}")),
        };
        if u64_at(&page, 0)? != number || leaf != (depth == tree.depth) {
            return broken(format!("page {number} is misplaced"));
        }
        let lower = usize::from(u16_at(&page, 12)?);
        let upper = usize::from(u16_at(&page, 14)?);
        if lower < PAGE_HEADER || lower % 2 != 0 || lower > upper || upper > self.page_size {
            return broken(format!("page {number} has no sound bounds"));
        }
        let nodes = (lower - PAGE_HEADER) / 2;
        if nodes < if leaf { 1 } else { 2 } {
            return broken(format!("page {number} has too few nodes"));
        }
        if leaf {
            found.leaf_pages += 1;
        } else {
            found.branch_pages += 1;
        }
        for index in 0..nodes {
            let at = usize::from(u16_at(&page, PAGE_HEADER + 2 * index)?);
            if at < upper || at % 2 != 0 {
                return broken(format!("a node of page {number} lies outside"));
            }
            let node = slice(&page, at, NODE_HEADER)?;
            let low = u64::from(u16_at(node, 0)?) | u64::from(u16_at(node, 2)?) << 16;
            let flags = u16_at(node, 4)?;
            let key_size = usize::from(u16_at(node, 6)?);
            let key = slice(&page, at + NODE_HEADER, key_size)?;
            if leaf {
                self.order(tree, key, found, true)?;
                let data = at + NODE_HEADER + key_size;
                self.leaf_node(&page, data, low, flags, key, found, visit)?;
            } else {
                // The first key of a branch page is never looked at.
                if index > 0 {
                    self.order(tree, key, found, false)?;
                }
                let child = low | u64::from(flags) << 32;
                self.page(tree, child, depth + 1, found, visit)?;
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn leaf_node(
        &mut self,
        page: &[u8],
        data: usize,
        size: u64,
        flags: u16,
        key: &[u8],
        found: &mut Found,
        visit: Visit<'_>,
    ) -> Result<(), Damage> {
        found.entries += 1;
        match flags {
            0 => visit(key, slice(page, data, size as usize)?),
            F_BIGDATA => {
                let bytes = self.overflow(u64_at(page, data)?, size, key, found)?;
                visit(key, &bytes)
            }
            _ => broken("it holds entries of a foreign kind"),
        }
    }

    /// Data that has pages of its own. Only free lists are read: rows are checked later.
    fn overflow(
        &mut self,
        number: u64,
        size: u64,
        key: &[u8],
        found: &mut Found,
    ) -> Result<Vec<u8>, Damage> {
        let needed = (PAGE_HEADER as u64 + size).div_ceil(self.page_size as u64);
        if number
            .checked_add(needed)
            .is_none_or(|end| end > self.written)
        {
            return broken(format!("the data at page {number} ends outside the file"));
        }
        let mut header = [0u8; PAGE_HEADER];
        let at = number * self.page_size as u64;
        self.file.read_exact_at(&mut header, at)?;
        let pages = u64::from(u32_at(&header, 12)?);
        let sound = u64_at(&header, 0)? == number && u16_at(&header, 10)? == P_OVERFLOW;
        if !sound || pages < needed {
            return broken(format!("page {number} is misplaced"));
        }
        for page in number..number.saturating_add(pages) {
            self.claim(page)?;
        }
        found.overflow_pages += pages;
        if key.len() != 8 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0u8; size as usize];
        self.file
            .read_exact_at(&mut bytes, at + PAGE_HEADER as u64)?;
        Ok(bytes)
    }

    fn order(&self, tree: &Tree, key: &[u8], found: &mut Found, takes: bool) -> Result<(), Damage> {
        let comparable = if tree.integer_keys {
            if key.len() != 8 {
                return broken("a key that is no number");
            }
            let number = u64_at(key, 0)?;
            number.to_be_bytes().to_vec()
        } else {
            if key.is_empty() || key.len() > 511 {
                return broken("a key of an impossible length");
            }
            key.to_vec()
        };
        let above = comparable > found.floor || (comparable == found.floor && !found.floor_taken);
        if !above {
            return broken("keys out of order");
        }
        found.floor = comparable;
        found.floor_taken = takes;
        Ok(())
    }

    /// A transaction's list of the pages it freed: a count, then page numbers, descending.
    fn free_list(&mut self, key: &[u8], list: &[u8]) -> Result<(), Damage> {
        if u64_at(key, 0)? > self.transaction {
            return broken("free pages from the future");
        }
        let count = u64_at(list, 0)?;
        let mut previous = NO_PAGE;
        for index in 1..=count {
            let at = usize::try_from(index * 8).unwrap_or(usize::MAX);
            let page = u64_at(list, at)?;
            if page >= previous {
                return broken("free pages out of order");
            }
            previous = page;
            if page < 2 || page >= self.pages {
                return broken(format!("page {page} is free but does not exist"));
            }
            // Beyond the file there is nothing a free page could collide with.
            if page < self.written {
                self.claim(page)?;
            }
        }
        Ok(())
    }

    fn claim(&mut self, page: u64) -> Result<(), Damage> {
        if page < 2 || page >= self.pages || page >= self.written {
            return broken(format!("page {page} lies outside the file"));
        }
        let bit = 1 << (page % 64);
        let Some(word) = self.seen.get_mut((page / 64) as usize) else {
            return broken(format!("page {page} lies outside the file"));
        };
        if *word & bit != 0 {
            return broken(format!("page {page} is used twice"));
        }
        *word |= bit;
        Ok(())
    }
}

fn slice(bytes: &[u8], at: usize, size: usize) -> Result<&[u8], Damage> {
    let end = at.checked_add(size);
    match end.and_then(|end| bytes.get(at..end)) {
        Some(part) => Ok(part),
        None => broken("something ends outside its page"),
    }
}

macro_rules! number_at {
    ($name:ident, $number:ty) => {
        fn $name(bytes: &[u8], at: usize) -> Result<$number, Damage> {
            let part = slice(bytes, at, size_of::<$number>())?;
            let mut raw = [0; size_of::<$number>()];
            raw.copy_from_slice(part);
            Ok(<$number>::from_ne_bytes(raw))
        }
    };
}
number_at!(u16_at, u16);
number_at!(u32_at, u32);
number_at!(u64_at, u64);
