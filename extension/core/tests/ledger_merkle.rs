//! Merkle trees against published vectors and against the recursive definitions of RFC 9162, written down a second time.

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use snackbase_core::ledger::block::{AccountTree, TILE_LEAVES, Tile, read_tiles, tiles_around};
use snackbase_core::ledger::merkle::{
    Frontier, Node, consistency_path, consistency_path_from, inclusion_path, inclusion_path_from, leaf_hash,
    node_hash, root, root_of_inclusion, verify_consistency, verify_inclusion,
};
use snackbase_core::ledger::{Hash, from_hex, to_hex};

/// The eight leaves of the Certificate Transparency test suite, and the roots over the first one to eight of them.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const N01: &str = ROOTS[1];
const N03: &str = ROOTS[3];
const N45: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const N23: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const N67: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const N4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";

fn hash(hex: &str) -> Hash {
    from_hex(hex).expect("64 hex digits")
}

fn known() -> Vec<Hash> {
    LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect()
}

fn numbered(n: usize) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

#[test]
fn roots_of_the_published_trees() {
    let empty: Hash = Sha256::digest([]).into();
    assert_eq!(root(&[]), empty);
    for (i, expected) in ROOTS.iter().enumerate() {
        assert_eq!(to_hex(&root(&known()[..=i])), *expected);
    }
}

#[test]
fn published_inclusion_proofs() {
    let leaves = known();
    for (size, index, path) in [
        (1, 0, &[][..]),
        (3, 2, &[N01]),
        (
            8,
            0,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                N23,
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (8, 5, &[N4, N67, N03]),
        (5, 1, &[ROOTS[0], N23, N4]),
    ] {
        let path: Vec<Hash> = path.iter().map(|hex| hash(hex)).collect();
        assert_eq!(
            inclusion_path(&leaves[..size], index),
            Some(path.clone()),
            "{index} of {size}"
        );
        let (index, size) = (index as u64, size as u64);
        let root = hash(ROOTS[size as usize - 1]);
        assert!(verify_inclusion(
            &leaves[index as usize],
            index,
            size,
            &path,
            &root
        ));
        assert!(!verify_inclusion(
            &leaves[index as usize],
            index ^ 1,
            size,
            &path,
            &root
        ));
    }
    assert_eq!(inclusion_path(&leaves, 8), None);
    assert_eq!(inclusion_path(&[], 0), None);
}

#[test]
fn published_consistency_proofs() {
    let leaves = known();
    for (old, new, path) in [
        (1, 1, &[][..]),
        (6, 8, &[N45, N67, N03]),
        (2, 5, &[N23, N4]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                N23,
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
    ] {
        let path: Vec<Hash> = path.iter().map(|hex| hash(hex)).collect();
        assert_eq!(
            consistency_path(&leaves[..new], old),
            Some(path.clone()),
            "{old} to {new}"
        );
        let [old_root, new_root] = [old, new].map(|size| hash(ROOTS[size - 1]));
        assert!(verify_consistency(
            old as u64, &old_root, new as u64, &new_root, &path
        ));
        assert!(!verify_consistency(
            old as u64,
            &new_root,
            new as u64,
            &hash(N4),
            &path
        ));
    }
    assert_eq!(consistency_path(&leaves, 9), None);
}

/// RFC 9162 §2.1.1, word for word.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(k(leaves.len()));
            node_hash(&mth(left), &mth(right))
        }
    }
}

fn k(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// RFC 9162 §2.1.3.1.
fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(k(leaves.len()));
    let (mut path, beside) = match m.checked_sub(left.len()) {
        None => (path(m, left), mth(right)),
        Some(m) => (path(m, right), mth(left)),
    };
    path.push(beside);
    path
}

/// RFC 9162 §2.1.4.1.
fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let (left, right) = leaves.split_at(k(leaves.len()));
    let (mut proof, beside) = match m.checked_sub(left.len()) {
        Some(m) if m > 0 => (subproof(m, right, false), mth(left)),
        _ => (subproof(m, left, whole), mth(right)),
    };
    proof.push(beside);
    proof
}

#[test]
fn every_small_tree_is_as_the_definition_says() {
    let all = numbered(40);
    let mut frontier = Frontier::default();
    for n in 0..=all.len() {
        let leaves = &all[..n];
        let root = mth(leaves);
        assert_eq!((frontier.root(), frontier.size()), (root, n as u64));
        if n < all.len() {
            frontier.push(all[n]);
        }
        for m in 0..n {
            let path = path(m, leaves);
            assert_eq!(inclusion_path(leaves, m), Some(path.clone()));
            assert!(verify_inclusion(&leaves[m], m as u64, n as u64, &path, &root));
            for wrong in (0..n).filter(|wrong| *wrong != m) {
                assert!(!verify_inclusion(
                    &leaves[m],
                    wrong as u64,
                    n as u64,
                    &path,
                    &root
                ));
            }
            let proof = if m == 0 {
                Vec::new()
            } else {
                subproof(m, leaves, true)
            };
            assert_eq!(consistency_path(leaves, m), Some(proof.clone()));
            assert!(verify_consistency(
                m as u64,
                &mth(&leaves[..m]),
                n as u64,
                &root,
                &proof
            ));
        }
    }
}

/// The nodes as the database keeps them: under the leaf that completes them, by level.
fn stored(leaves: &[Hash]) -> Vec<Vec<Hash>> {
    let mut frontier = Frontier::default();
    leaves
        .iter()
        .map(|leaf| frontier.push_completing(*leaf))
        .collect()
}

fn look_up(stored: &[Vec<Hash>], node: Node) -> Option<Hash> {
    stored
        .get(node.completed_at() as usize - 1)?
        .get(node.level as usize)
        .copied()
}

#[test]
fn nodes_that_are_no_part_of_a_tree() {
    for level in [0, 63, 64, u32::MAX] {
        for index in [0, 1, u64::MAX] {
            let _ = Node { level, index }.completed_at();
        }
    }
    assert!(Frontier::restore(3, vec![[0; 32]]).is_none());
    assert_eq!(Frontier::nodes_of(0), []);
    assert_eq!(Frontier::nodes_of(u64::MAX).len(), 64);
    assert_eq!(
        inclusion_path_from(u64::MAX - 1, u64::MAX, |_| [0; 32]).map(|p| p.len()),
        Some(63)
    );
    assert_eq!(
        consistency_path_from(1 << 62, u64::MAX, |_| [0; 32]).map(|p| p.len()),
        Some(2)
    );
}

proptest! {
    #[test]
    fn proofs_from_stored_nodes_are_the_same(n in 1usize..300, m in any::<prop::sample::Index>()) {
        let leaves = numbered(n);
        let stored = stored(&leaves);
        let m = m.index(n);
        let get = |node| look_up(&stored, node);
        let collect = |path: Option<Vec<Option<Hash>>>| path.and_then(|p| p.into_iter().collect::<Option<Vec<_>>>());
        prop_assert_eq!(collect(inclusion_path_from(m as u64, n as u64, get)), Some(path(m, &leaves)));
        prop_assert_eq!(collect(consistency_path_from(m as u64, n as u64, get)), consistency_path(&leaves, m));
        let nodes = Frontier::nodes_of(n as u64).into_iter().map(|node| look_up(&stored, node).expect("stored"));
        prop_assert_eq!(Frontier::restore(n as u64, nodes.collect()).expect("right number").root(), mth(&leaves));
    }

    #[test]
    fn an_altered_inclusion_proof_fails(
        n in 1usize..200, m in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), kind in 0..5,
    ) {
        let leaves = numbered(n);
        let m = m.index(n);
        let root = mth(&leaves);
        let mut leaf = leaves[m];
        let mut proof = path(m, &leaves);
        match kind {
            0 => leaf[at.index(32)] ^= 1,
            1 if !proof.is_empty() => { let i = at.index(proof.len()); proof[i][at.index(32)] ^= 1 }
            2 if !proof.is_empty() => { proof.remove(at.index(proof.len())); }
            3 => proof.insert(at.index(proof.len() + 1), root),
            4 => proof.push([0; 32]),
            _ => return Ok(()),
        }
        prop_assert!(!verify_inclusion(&leaf, m as u64, n as u64, &proof, &root));
    }

    #[test]
    fn an_altered_consistency_proof_fails(
        n in 2usize..200, m in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), kind in 0..5,
    ) {
        let leaves = numbered(n);
        let m = m.index(n - 1) + 1;
        let (mut old, mut new) = (mth(&leaves[..m]), mth(&leaves));
        let mut proof = subproof(m, &leaves, true);
        match kind {
            0 => old[at.index(32)] ^= 1,
            1 => new[at.index(32)] ^= 1,
            2 if !proof.is_empty() => { let i = at.index(proof.len()); proof[i][at.index(32)] ^= 1 }
            3 if !proof.is_empty() => { proof.remove(at.index(proof.len())); }
            4 => proof.push([0; 32]),
            _ => return Ok(()),
        }
        prop_assert!(!verify_consistency(m as u64, &old, n as u64, &new, &proof));
    }

    #[test]
    fn verifiers_never_panic(
        index in any::<u64>(), size in any::<u64>(), path in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let leaf = [1; 32];
        if let Some(root) = root_of_inclusion(&leaf, index, size, &path) {
            prop_assert!(verify_inclusion(&leaf, index, size, &path, &root));
        }
        verify_consistency(index, &leaf, size, &leaf, &path);
    }

    #[test]
    fn tiles_make_the_same_tree(n in 0u64..800, last in 0u64..3) {
        // Around the edges of tiles more often than elsewhere.
        let n = if n % 2 == 0 { n } else { (n % 5 * TILE_LEAVES + last).saturating_sub(1) };
        let checksums: Vec<Hash> = (0..n).map(|i| Sha256::digest(i.to_be_bytes()).into()).collect();
        let leaves: Vec<Hash> = checksums.iter().map(|checksum| leaf_hash(checksum)).collect();
        let mut tree = AccountTree::default();
        // Ids within a block go up and down: they follow the transactions.
        let id = |i: u64| (i ^ 5) as i64 - 3;
        for (i, checksum) in checksums.iter().enumerate() {
            tree.push(id(i as u64), checksum);
        }
        let account = tree.finish();
        prop_assert_eq!((account.change_count, account.root), (n, mth(&leaves)));
        let Some(tiles) = account.tiles else { prop_assert!(n <= TILE_LEAVES); return Ok(()) };
        prop_assert!(n > TILE_LEAVES);
        let tiles = read_tiles(&tiles).expect("whole tiles");
        prop_assert!(read_tiles(&[0; 47]).is_none());
        let chunks: Vec<_> = leaves.chunks(TILE_LEAVES as usize).collect();
        prop_assert_eq!(tiles.len(), chunks.len());
        let hashes: Vec<Hash> = tiles.iter().map(|tile| tile.hash).collect();
        for (t, (tile, chunk)) in tiles.iter().zip(&chunks).enumerate() {
            let start = t as u64 * TILE_LEAVES;
            let ids = || (start..start + chunk.len() as u64).map(id);
            prop_assert_eq!((Some(tile.min_id), Some(tile.max_id)), (ids().min(), ids().max()));
            // A path within a tile, then one over the tiles, is the path in the tree.
            let m = chunk.len() / 2;
            let both = [inclusion_path(chunk, m), inclusion_path(&hashes, t)].map(Option::unwrap_or_default).concat();
            prop_assert_eq!(Some(both), inclusion_path(&leaves, start as usize + m));
        }
        prop_assert_eq!(tree.finish().change_count, 0, "the tree starts anew");
    }

    #[test]
    fn tiles_around_an_id_hold_all_ids_between(
        ranges in prop::collection::vec((0i64..200, 0i64..12), 0..30), id in -1i64..215,
    ) {
        let tiles: Vec<Tile> =
            ranges.iter().map(|(min, more)| Tile { hash: [0; 32], min_id: *min, max_id: min + more }).collect();
        let around = tiles_around(&tiles, id);
        prop_assert_eq!(around.is_some(), tiles.iter().any(|tile| tile.min_id <= id && id <= tile.max_id));
        let Some(around) = around else { return Ok(()) };
        prop_assert!(around.is_sorted());
        let first = around.iter().map(|tile| tiles[*tile].min_id).min().expect("not empty");
        let last = around.iter().map(|tile| tiles[*tile].max_id).max().expect("not empty");
        prop_assert!(first <= id && id <= last);
        for (place, tile) in tiles.iter().enumerate().filter(|(place, _)| !around.contains(place)) {
            prop_assert!(tile.max_id < first || last < tile.min_id, "{place}");
        }
    }
}
