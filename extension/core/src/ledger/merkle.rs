//! Merkle trees over SHA-256 as RFC 9162 §2.1 defines them: roots, inclusion and consistency proofs.
//!
//! A tree of *n* leaves is split at the largest power of two below *n*, so every full left part keeps its hash for ever
//! while leaves are appended. [`Frontier`] uses that to append with a handful of hashes in memory; the `_from` functions
//! use it to build a proof out of stored hashes of perfect subtrees, without touching a leaf.

use sha2::{Digest, Sha256};

use super::Hash;

/// The hash of a leaf: SHA-256(0x00 ‖ data).
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(data)
        .finalize()
        .into()
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// The root of the tree over these leaf hashes; that of no leaves is SHA-256 of nothing.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// The perfect subtree over the leaves [`index` · 2^`level`, (`index` + 1) · 2^`level`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// 0 for a leaf, at most 63.
    pub level: u32,
    /// Counted from 0 within the level.
    pub index: u64,
}

impl Node {
    /// The size of the smallest tree that has this node: the number, counted from 1, of the leaf that completes it.
    pub fn completed_at(self) -> u64 {
        self.index.wrapping_add(1).checked_shl(self.level).unwrap_or(0)
    }
}

/// A tree that grows at its right end and remembers no more than the roots of its perfect subtrees, at most 64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// From left to right, which is from the largest to the smallest: one for each bit of the size.
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The nodes that make up the frontier of a tree of that size, from left to right; [`Frontier::restore`] takes their
    /// hashes.
    pub fn nodes_of(size: u64) -> Vec<Node> {
        let mut nodes = Vec::new();
        let mut start = 0;
        while let Some(level) = (size - start).checked_ilog2() {
            nodes.push(Node {
                level,
                index: start >> level,
            });
            start += 1 << level;
        }
        nodes
    }

    /// A tree of that size again from the hashes of [`Frontier::nodes_of`]. `None` if their number is another.
    pub fn restore(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        (nodes.len() == size.count_ones() as usize).then_some(Self { size, nodes })
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.append(leaf, |_| ());
    }

    /// Appends a leaf and tells the hashes of all perfect subtrees that it completes: its own first, then one per level
    /// upwards. Stored by level under the leaf's number, they are what [`inclusion_path_from`] and
    /// [`consistency_path_from`] ask for.
    pub fn push_completing(&mut self, leaf: Hash) -> Vec<Hash> {
        let mut completed = Vec::new();
        self.append(leaf, |hash| completed.push(hash));
        completed
    }

    fn append(&mut self, leaf: Hash, mut completed: impl FnMut(Hash)) {
        completed(leaf);
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            // The size has as many one bits as there are nodes, so there is one; without it, the leaf stands alone.
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            completed(hash);
        }
        self.nodes.push(hash);
        self.size += 1;
    }

    /// The root of the tree as it is now.
    pub fn root(&self) -> Hash {
        join(self.nodes.iter().copied()).unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// The root over neighbouring subtrees, from left to right: the smaller ones are joined first.
fn join(parts: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    parts.rev().reduce(|right, left| node_hash(&left, &right))
}

/// The largest power of two below `size`, for sizes from 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The hashes beside the way from leaf `index` up to the root, the leaf's neighbour first (RFC 9162 §2.1.3.1). `None` if
/// there is no such leaf.
pub fn inclusion_path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    let get = |node| subtree(leaves, node);
    inclusion_path_from(index as u64, leaves.len() as u64, get)?
        .into_iter()
        .collect()
}

/// The same from stored hashes of perfect subtrees. `get` returns the hash of a node, in any wrapping: an `Option`, a
/// `Result`, or a placeholder when the question is only which nodes will be needed. `None` if there is no such leaf.
///
/// The parts at the right edge of the tree are not perfect; they are joined from perfect ones.
pub fn inclusion_path_from<T: Joined>(
    index: u64,
    size: u64,
    mut get: impl FnMut(Node) -> T,
) -> Option<Vec<T>> {
    if index >= size {
        return None;
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(middle, end, &mut get));
            end = middle;
        } else {
            path.push(range(start, middle, &mut get));
            start = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// Whether the path proves that the leaf is number `index` of the tree with this root and size (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    root_of_inclusion(leaf, index, size, path).as_ref() == Some(root)
}

/// The only root for which [`verify_inclusion`] holds; `None` if the path has the wrong length or there is no such leaf.
pub fn root_of_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let mut last = size.checked_sub(1).filter(|last| index <= *last)?;
    let mut index = index;
    let mut hash = *leaf;
    for beside in path {
        if last == 0 {
            return None;
        }
        if index & 1 == 1 || index == last {
            hash = node_hash(beside, &hash);
            // A node without a right neighbour is its own parent.
            let levels = if index & 1 == 1 { 0 } else { index.trailing_zeros() };
            (index, last) = (shift(index, levels), shift(last, levels));
        } else {
            hash = node_hash(&hash, beside);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    (last == 0).then_some(hash)
}

/// `number >> levels`, 0 from 64 levels on.
fn shift(number: u64, levels: u32) -> u64 {
    number.checked_shr(levels).unwrap_or(0)
}

/// What proves that the tree over the first `old` leaves is the beginning of the tree over all (RFC 9162 §2.1.4.1). `None`
/// if there are fewer leaves than that. Nothing is needed when `old` is 0 or all.
pub fn consistency_path(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    let get = |node| subtree(leaves, node);
    consistency_path_from(old as u64, leaves.len() as u64, get)?
        .into_iter()
        .collect()
}

/// The same from stored hashes of perfect subtrees; `get` as in [`inclusion_path_from`].
pub fn consistency_path_from<T: Joined>(
    old: u64,
    new: u64,
    mut get: impl FnMut(Node) -> T,
) -> Option<Vec<T>> {
    if old > new {
        return None;
    }
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Some(path);
    }
    let (mut start, mut end) = (0, new);
    while old < end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range(middle, end, &mut get));
            end = middle;
        } else {
            path.push(range(start, middle, &mut get));
            start = middle;
        }
    }
    // The verifier has the old root, so it needs no hash of the part that is the whole old tree.
    if start > 0 {
        path.push(range(start, end, &mut get));
    }
    path.reverse();
    Some(path)
}

/// Whether the path proves that the tree of size `old` with `old_root` is the beginning of the tree of size `new` with
/// `new_root` (RFC 9162 §2.1.4.2). Trees of one size are consistent if their roots are equal; the empty tree is the
/// beginning of every tree.
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return path.is_empty() && *old_root == root(&[]);
    }
    if old > new {
        return false;
    }
    let mut rest = path.iter();
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        rest.next()
    };
    let Some(first) = first else { return false };
    let levels = (old - 1).trailing_ones();
    let (mut index, mut last) = (shift(old - 1, levels), shift(new - 1, levels));
    let (mut of_old, mut of_new) = (*first, *first);
    for beside in rest {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            of_old = node_hash(beside, &of_old);
            of_new = node_hash(beside, &of_new);
            let levels = if index & 1 == 1 { 0 } else { index.trailing_zeros() };
            (index, last) = (shift(index, levels), shift(last, levels));
        } else {
            of_new = node_hash(&of_new, beside);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}

/// A hash, or something around one, that can be joined with its right neighbour.
pub trait Joined: Sized {
    /// The parent of two neighbours.
    fn join(left: Self, right: Self) -> Self;
}

impl Joined for Hash {
    fn join(left: Self, right: Self) -> Self {
        node_hash(&left, &right)
    }
}

impl Joined for Option<Hash> {
    fn join(left: Self, right: Self) -> Self {
        Some(node_hash(&left?, &right?))
    }
}

impl<E> Joined for Result<Hash, E> {
    fn join(left: Self, right: Self) -> Self {
        Ok(node_hash(&left?, &right?))
    }
}

/// The hash over the leaves [start, end), a part of a split and therefore never empty.
fn range<T: Joined>(start: u64, end: u64, get: &mut impl FnMut(Node) -> T) -> T {
    let mut end = end;
    let mut joined = None;
    // From right to left: the smaller parts are joined first.
    loop {
        let level = (end - start).trailing_zeros();
        let part = get(Node {
            level,
            index: (end - 1) >> level,
        });
        let hash = match joined.take() {
            Some(right) => T::join(part, right),
            None => part,
        };
        end -= 1 << level;
        if end == start {
            return hash;
        }
        joined = Some(hash);
    }
}

/// The root of a perfect subtree of a tree whose leaves are all at hand.
fn subtree(leaves: &[Hash], node: Node) -> Option<Hash> {
    let end = usize::try_from(node.completed_at()).ok()?;
    Some(root(leaves.get(end.checked_sub(1 << node.level)?..end)?))
}
