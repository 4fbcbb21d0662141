//! Blocks: what is hashed of each account in one, and the tree of the account's changes. The head of a block is
//! [`HeadText`](super::lines::HeadText).

use super::Hash;
use super::merkle::{Frontier, leaf_hash};

/// The leaf of one account in the tree of a block: SHA-256(0x00 ‖ account ‖ count ‖ previous block ‖ root), numbers with
/// eight bytes, the highest first.
///
/// `previous_block` is the number of the last block before this one with changes of the account, 0 if there is none: so
/// somebody who is shown one account's blocks sees that none was left out.
pub fn account_leaf(account: &[u8; 16], change_count: u64, previous_block: u64, root: &Hash) -> Hash {
    let mut bytes = [0; 64];
    bytes[..16].copy_from_slice(account);
    bytes[16..24].copy_from_slice(&change_count.to_be_bytes());
    bytes[24..32].copy_from_slice(&previous_block.to_be_bytes());
    bytes[32..].copy_from_slice(root);
    leaf_hash(&bytes)
}

/// How many leaves a tile covers.
pub const TILE_LEAVES: u64 = 256;

/// The tree over one account's changes of one block, built in one pass and with little memory, together with the *tiles*
/// that let a proof of one change read 256 changes instead of all.
#[derive(Debug, Clone, Default)]
pub struct AccountTree {
    tree: Frontier,
    /// The tile that is being filled, and the smallest and largest id in it.
    tile: Frontier,
    ids: Option<(i64, i64)>,
    tiles: Vec<u8>,
}

/// What remains of an [`AccountTree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// How many changes.
    pub change_count: u64,
    /// The root over them.
    pub root: Hash,
    /// For every 256 changes the root over them (the last may be fewer), and the smallest and largest id among them:
    /// 32 + 8 + 8 bytes, highest byte first. `None` up to 256 changes.
    pub tiles: Option<Vec<u8>>,
}

impl AccountTree {
    /// Adds a change: its id and its checksum. They come in the order of the block: by transaction, then id.
    pub fn push(&mut self, id: i64, checksum: &Hash) {
        if self.tile.size() == TILE_LEAVES {
            self.close_tile();
        }
        self.tile.push(leaf_hash(checksum));
        self.ids = Some(self.ids.map_or((id, id), |(min, max)| (min.min(id), max.max(id))));
    }

    fn close_tile(&mut self) {
        let Some((min, max)) = self.ids.take() else { return };
        let hash = std::mem::take(&mut self.tile).root();
        // The tree over the roots of tiles is the tree over their leaves: all but the last are perfect and of one size.
        self.tree.push(hash);
        self.tiles.extend_from_slice(&hash);
        self.tiles.extend_from_slice(&min.to_be_bytes());
        self.tiles.extend_from_slice(&max.to_be_bytes());
    }

    /// Ends the account. Its tree starts anew.
    pub fn finish(&mut self) -> Account {
        let full = self.tree.size() * TILE_LEAVES;
        let change_count = full + self.tile.size();
        self.close_tile();
        let done = std::mem::take(self);
        Account {
            change_count,
            root: done.tree.root(),
            tiles: Some(done.tiles).filter(|_| change_count > TILE_LEAVES),
        }
    }
}

/// One tile of [`Account::tiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// The root over the changes of the tile.
    pub hash: Hash,
    /// The smallest id in it.
    pub min_id: i64,
    /// The largest id in it.
    pub max_id: i64,
}

/// Reads stored tiles. `None` if the length is not that of whole tiles.
pub fn read_tiles(bytes: &[u8]) -> Option<Vec<Tile>> {
    let (chunks, rest) = bytes.as_chunks::<48>();
    let tile = |chunk: &[u8; 48]| {
        let (hash, ids) = chunk.split_first_chunk::<32>()?;
        let (min, ids) = ids.split_first_chunk::<8>()?;
        let (max, _) = ids.split_first_chunk::<8>()?;
        Some(Tile {
            hash: *hash,
            min_id: i64::from_be_bytes(*min),
            max_id: i64::from_be_bytes(*max),
        })
    };
    rest.is_empty()
        .then(|| chunks.iter().map(tile).collect())
        .flatten()
}

/// The tiles, in their order, whose ids overlap with those of the tile that holds `id`, directly or through others: between
/// their smallest and largest id there are changes of no other tile. (Ids ascend within a transaction, so mostly it is one
/// tile.) `None` if `id` is in none.
pub fn tiles_around(tiles: &[Tile], id: i64) -> Option<Vec<usize>> {
    let mut by_id: Vec<usize> = (0..tiles.len()).collect();
    by_id.sort_unstable_by_key(|tile| tiles[*tile].min_id);
    let (mut together, mut last) = (Vec::new(), i64::MIN);
    for tile in by_id {
        if !together.is_empty() && tiles[tile].min_id > last {
            if id <= last {
                break;
            }
            together.clear();
        }
        together.push(tile);
        last = last.max(tiles[tile].max_id);
    }
    together.sort_unstable();
    let holds = |tile: &usize| (tiles[*tile].min_id..=tiles[*tile].max_id).contains(&id);
    together.iter().any(holds).then_some(together)
}
