//! The hash of a block and of an account in it, spelled out once more.

use sha2::{Digest, Sha256};
use snackbase_core::ledger::block::account_leaf;
use snackbase_core::ledger::lines::{Decimal, HeadText, Hex};
use snackbase_core::ledger::{Hash, from_hex, to_hex};

fn block() -> HeadText<'static> {
    HeadText {
        change_count: Decimal(3),
        from_xid: Decimal(740),
        import_id: None,
        number: Decimal(2),
        previous_block_hash: Some(Hex([0xef; 32])),
        sealed_at: "2026-01-02T03:04:05.678901Z".into(),
        system_identifier: Decimal(u64::MAX),
        to_xid: Decimal(1 << 40),
        tree_root: Hex([0xcd; 32]),
    }
}

#[test]
fn a_block_is_hashed_as_canonical_json() {
    let text = format!(
        r#"{{"change_count":"3","from_xid":"740","import_id":null,"number":"2","previous_block_hash":"{}","sealed_at":"2026-01-02T03:04:05.678901Z","system_identifier":"18446744073709551615","to_xid":"1099511627776","tree_root":"{}"}}"#,
        "ef".repeat(32),
        "cd".repeat(32),
    );
    assert_eq!(block().hash(), Hash::from(Sha256::digest(text)));
    let text =
        r#"{"change_count":"3","from_xid":"740","import_id":"9","number":"1","previous_block_hash":null,"#;
    let first = HeadText {
        number: Decimal(1),
        previous_block_hash: None,
        import_id: Some(Decimal(9)),
        ..block()
    };
    let rest = format!(
        r#""sealed_at":"2026-01-02T03:04:05.678901Z","system_identifier":"18446744073709551615","to_xid":"1099511627776","tree_root":"{}"}}"#,
        "cd".repeat(32)
    );
    assert_eq!(first.hash(), Hash::from(Sha256::digest(format!("{text}{rest}"))));
}

#[test]
fn an_account_is_a_leaf_of_64_bytes() {
    let account: [u8; 16] = std::array::from_fn(|i| i as u8);
    let mut bytes = vec![0];
    bytes.extend(account);
    bytes.extend([0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
    bytes.extend([9; 32]);
    assert_eq!(
        account_leaf(&account, 258, 3, &[9; 32]),
        Hash::from(Sha256::digest(bytes))
    );
}

#[test]
fn hashes_have_one_spelling() {
    let hash: Hash = std::array::from_fn(|i| i as u8 * 8);
    assert_eq!(from_hex(&to_hex(&hash)), Some(hash));
    for bad in [
        "",
        "0",
        &"A".repeat(64),
        &"g".repeat(64),
        &"0".repeat(63),
        &"0".repeat(65),
        &"é".repeat(32),
    ] {
        assert_eq!(from_hex(bad), None);
    }
}
