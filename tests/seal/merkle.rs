//! Blocks as `docs/ledger.md` defines them, computed from the stored changes by code that shares nothing with ours.

use sha2::{Digest, Sha256};
use snackbase_e2e::Session;

type Hash = Vec<u8>;

fn sha(parts: &[&[u8]]) -> Hash {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().to_vec()
}

/// RFC 9162 §2.1.1, over leaf hashes.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha(&[]),
        [leaf] => leaf.clone(),
        _ => {
            let half = leaves.len().next_power_of_two() / 2;
            sha(&[&[1], &root(&leaves[..half]), &root(&leaves[half..])])
        }
    }
}

fn leaf(data: &[u8]) -> Hash {
    sha(&[&[0], data])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks every hash of every block. Returns the root of the tree over all of them.
///
/// # Panics
/// When one is not what it should be.
pub async fn check(session: &Session) -> Hash {
    let blocks = session
        .query(
            "select number, system_identifier, from_xid::text, to_xid::text, change_count, tree_root, previous_block_hash,
                    to_char(sealed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), block_hash, nodes
               from snackbase.audit_block order by number",
            &[],
        )
        .await
        .expect("blocks");
    let mut chain: Vec<Hash> = Vec::new();
    let mut previous: Option<Hash> = None;
    for (place, block) in blocks.iter().enumerate() {
        let number: i64 = block.get(0);
        assert_eq!(number, place as i64 + 1, "no gap");
        let (system, from, to): (i64, &str, &str) = (block.get(1), block.get(2), block.get(3));
        let changes = session
            .query(
                "select account_id::text, id, checksum from snackbase.audit_change
                  where system_identifier = $1 and xid >= $2::text::xid8 and xid < $3::text::xid8
                  order by account_id, xid, id",
                &[&system, &from, &to],
            )
            .await
            .expect("changes");
        let mut leaves = Vec::new();
        for account in changes.chunk_by(|a, b| a.get::<_, &str>(0) == b.get::<_, &str>(0)) {
            let id: &str = account[0].get(0);
            let stored = session
                .query_one(
                    "select change_count, previous_block, root, tiles, first_id, last_id,
                            coalesce((select max(block_number) from snackbase.audit_block_account b
                                       where b.account_id = a.account_id and b.block_number < a.block_number), 0)
                       from snackbase.audit_block_account a where block_number = $1 and account_id = $2::text::uuid",
                    &[&number, &id],
                )
                .await
                .expect("an account of the block");
            let count: i64 = stored.get(0);
            assert_eq!(count, account.len() as i64);
            assert_eq!(
                stored.get::<_, i64>(1),
                stored.get::<_, i64>(6),
                "the account's block before"
            );
            let checksums: Vec<Hash> = account.iter().map(|row| leaf(row.get(2))).collect();
            assert_eq!(
                stored.get::<_, Hash>(2),
                root(&checksums),
                "root of {id} in block {number}"
            );
            let ids: Vec<i64> = account.iter().map(|row| row.get(1)).collect();
            let range = |ids: &[i64]| (*ids.iter().min().expect("one"), *ids.iter().max().expect("one"));
            assert_eq!((stored.get(4), stored.get(5)), range(&ids));
            if account.len() > 256 {
                let tiles: Vec<u8> = checksums
                    .chunks(256)
                    .zip(ids.chunks(256))
                    .flat_map(|(leaves, ids)| {
                        let (first, last) = range(ids);
                        [
                            root(leaves),
                            first.to_be_bytes().to_vec(),
                            last.to_be_bytes().to_vec(),
                        ]
                        .concat()
                    })
                    .collect();
                assert_eq!(stored.get::<_, Option<Vec<u8>>>(3), Some(tiles));
            } else {
                assert_eq!(stored.get::<_, Option<Vec<u8>>>(3), None);
            }
            let bytes: Vec<u8> = (0..32)
                .map(|place| {
                    u8::from_str_radix(&id.replace('-', "")[2 * place % 32..2 * place % 32 + 2], 16)
                        .expect("hex")
                })
                .take(16)
                .collect();
            leaves.push(leaf(
                &[
                    &bytes[..],
                    &count.to_be_bytes(),
                    &stored.get::<_, i64>(1).to_be_bytes(),
                    &root(&checksums),
                ]
                .concat(),
            ));
        }
        let tree_root = root(&leaves);
        assert_eq!(block.get::<_, Hash>(5), tree_root, "tree of block {number}");
        assert_eq!(block.get::<_, i64>(4), changes.len() as i64);
        assert_eq!(block.get::<_, Option<Hash>>(6), previous);
        let before = previous
            .as_ref()
            .map_or("null".to_owned(), |hash| format!("\"{}\"", hex(hash)));
        let head = format!(
            r#"{{"change_count":"{}","from_xid":"{from}","import_id":null,"number":"{number}","previous_block_hash":{before},"sealed_at":"{}","system_identifier":"{}","to_xid":"{to}","tree_root":"{}"}}"#,
            changes.len(),
            block.get::<_, &str>(7),
            system.cast_unsigned(),
            hex(&tree_root),
        );
        let hash = sha(&[head.as_bytes()]);
        assert_eq!(block.get::<_, Hash>(8), hash, "{head}");
        chain.push(leaf(&hash));
        // the perfect subtrees that end at this block, its own leaf first
        let nodes: Vec<u8> = (0..=number.trailing_zeros())
            .flat_map(|level| root(&chain[chain.len() - (1 << level)..]))
            .collect();
        assert_eq!(block.get::<_, Vec<u8>>(9), nodes, "nodes of block {number}");
        previous = Some(hash);
    }
    root(&chain)
}
