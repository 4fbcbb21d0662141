//! Signed notes and checkpoints, against the examples of the C2SP specifications and of the reference implementation.

use proptest::prelude::*;
use snackbase_core::ledger::checkpoint::{self, Checkpoint, origin};
use snackbase_core::ledger::note::{
    Error, MAX_SIGNATURES, SigningKey, VerifierKey, open, sign, unverified_text,
};

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn key(text: &str) -> VerifierKey {
    VerifierKey::parse(text).expect("a key")
}

fn note(lines: &[&str]) -> String {
    format!("{TEXT}\n{}", lines.concat())
}

#[test]
fn the_reference_key_signs_the_reference_note() {
    let peter = SigningKey::parse(PETER_PRIVATE).expect("a private key");
    assert_eq!(peter.verifier().to_string(), PETER);
    assert_eq!(peter.to_secret_text(), PETER_PRIVATE);
    assert_eq!(sign(TEXT, &[&peter]).expect("signed"), note(&[PETER_LINE]));
    let shown = format!("{peter:?}");
    assert_eq!(
        shown, "SigningKey(PeterNeumann+c74f20a3)",
        "no secret in messages"
    );
}

#[test]
fn signatures_of_known_keys_count() {
    let (peter, enoch) = (key(PETER), key(ENOCH));
    let signers = |note: &str, keys: &[VerifierKey]| {
        open(note, keys).map(|opened| {
            assert_eq!(opened.text, TEXT);
            opened.signers
        })
    };
    let both = note(&[PETER_LINE, ENOCH_LINE]);
    assert_eq!(signers(&both, std::slice::from_ref(&peter)), Ok(vec![0]));
    assert_eq!(signers(&both, &[enoch.clone(), peter.clone()]), Ok(vec![1, 0]));
    assert_eq!(signers(&both, &[]), Err(Error::UnknownKey));
    assert_eq!(
        signers(&note(&[ENOCH_LINE]), std::slice::from_ref(&peter)),
        Err(Error::UnknownKey)
    );
    assert_eq!(
        signers(&note(&[PETER_LINE, PETER_LINE]), std::slice::from_ref(&peter)),
        Ok(vec![0])
    );
    // One wrong signature of a known key spoils the note; of an unknown key, it is ignored.
    let wrong = ENOCH_LINE.replacen("rwz+eBzm", "rwz+eBzn", 1);
    assert_eq!(
        signers(&note(&[PETER_LINE, &wrong]), std::slice::from_ref(&peter)),
        Ok(vec![0])
    );
    let error = signers(&note(&[PETER_LINE, &wrong]), &[peter.clone(), enoch]);
    assert_eq!(error, Err(Error::Signature("EnochRoot+af0cfe78".into())));
    // A signature of another length.
    let long = format!("{}ABCD{}", &PETER_LINE[..60], &PETER_LINE[60..]);
    assert_eq!(
        signers(&note(&[&long]), std::slice::from_ref(&peter)),
        Err(Error::Signature("PeterNeumann+c74f20a3".into()))
    );
    // Another text.
    let other = both.replacen("cryptography", "Cryptography", 1);
    assert_eq!(
        signers(&other, &[peter]),
        Err(Error::Signature("PeterNeumann+c74f20a3".into()))
    );
}

#[test]
fn what_is_no_note() {
    let peter = [key(PETER)];
    let many = PETER_LINE.repeat(MAX_SIGNATURES + 1);
    assert!(open(&note(&[&PETER_LINE.repeat(MAX_SIGNATURES)]), &peter).is_ok());
    for bad in [
        "".to_owned(),
        "\n\n".to_owned(),
        "\n\n\n".to_owned(),
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("{TEXT}\n{}", PETER_LINE.trim_end()),
        format!("\u{1}{TEXT}\n{PETER_LINE}"),
        format!("{}\n{PETER_LINE}", TEXT.replace('\n', "\r\n")),
        note(&[PETER_LINE, "Unexpected line.\n"]),
        note(&[
            "— Bad Name x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
        ]),
        note(&["- PeterNeumann x08go/ZJ\n"]),
        note(&["— PeterNeumann x08g\n"]),
        note(&["— PeterNeumann x08go/ZJ=\n"]),
        note(&[&many]),
        format!("{}\n{PETER_LINE}", "x\n".repeat(150_000)),
    ] {
        assert!(
            matches!(open(&bad, &peter), Err(Error::Malformed(_))),
            "{bad:.200}"
        );
        assert!(
            matches!(unverified_text(&bad), Err(Error::Malformed(_))),
            "{bad:.200}"
        );
    }
    for text in ["", "\n", "no newline", "a\tb\n"] {
        assert!(sign(text, &[]).is_err(), "{text}");
    }
}

#[test]
fn mangled_keys_are_refused() {
    for (good, private) in [(PETER, false), (PETER_PRIVATE, true)] {
        let parses = |text: &str| match private {
            true => SigningKey::parse(text).is_ok(),
            false => VerifierKey::parse(text).is_ok(),
        };
        assert!(parses(good));
        for start in 0..good.len() {
            for end in start..=good.len() {
                assert!((start, end) == (0, good.len()) || !parses(&good[start..end]));
            }
            let mut bytes = good.as_bytes().to_vec();
            bytes[start] += 1;
            assert!(
                !parses(std::str::from_utf8(&bytes).expect("ASCII")),
                "byte {start}"
            );
        }
        assert!(!parses(&format!("{good}\n")));
    }
    for (bad, why) in [
        (
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            "wrong length",
        ),
        (
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "wrong type",
        ),
        (
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "upper case",
        ),
    ] {
        assert!(VerifierKey::parse(bad).is_err(), "{why}");
    }
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", "\u{1}", &"x".repeat(256)] {
        assert!(SigningKey::from_seed(name, &[7; 32]).is_err(), "{name}");
    }
    let mut weak = [0; 32];
    weak[0] = 1;
    assert!(VerifierKey::new("weak", &weak).is_err(), "a key of small order");
}

fn example() -> Checkpoint {
    Checkpoint {
        origin: origin(7423987120934, 16384),
        number: 42,
        root: [1; 32],
        block_hash: [0xab; 32],
    }
}

#[test]
fn checkpoints_are_notes_of_four_lines() {
    let checkpoint = example();
    let text = format!(
        "snackbase/7423987120934/16384\n42\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\nblock {}\n",
        "ab".repeat(32)
    );
    assert_eq!(checkpoint.text(), text);
    let [old, new] =
        [[1; 32], [2; 32]].map(|seed| SigningKey::from_seed(&checkpoint.origin, &seed).expect("a key"));
    let note = checkpoint.sign(&[&old, &new]).expect("signed");
    let [old, new] = [old, new].map(|key| key.verifier().clone());
    assert_eq!(
        Checkpoint::open(&note, std::slice::from_ref(&old)),
        Ok((checkpoint.clone(), vec![0]))
    );
    assert_eq!(
        Checkpoint::open(&note, &[new, old]),
        Ok((checkpoint.clone(), vec![1, 0]))
    );
    assert_eq!(Checkpoint::parse_unverified(&note), Ok(checkpoint));
}

#[test]
fn a_checkpoint_has_one_spelling() {
    let key = SigningKey::from_seed("k", &[1; 32]).expect("a key");
    let keys = [key.verifier().clone()];
    let good = example().text();
    let opens = |text: &str| Checkpoint::open(&sign(text, &[&key]).expect("signed"), &keys);
    assert!(opens(&good).is_ok());
    for bad in [
        good.replacen("\n42\n", "\n042\n", 1),
        good.replacen("\n42\n", "\n+42\n", 1),
        good.replacen("\n42\n", "\n0\n", 1),
        good.replacen("\n42\n", "\n9223372036854775808\n", 1),
        good.replacen("\n42\n", "\n\n42\n", 1),
        good.replacen("AQE=", "AQE", 1),
        good.replacen("AQE=", "AQF=", 1),
        good.replacen("block ab", "block AB", 1),
        good.replacen("block ab", "block  ab", 1),
        good.replacen("block ab", "block a", 1),
        format!("{good}more\n"),
        good.replacen("snackbase/7423987120934/16384", "", 1),
        good.lines()
            .take(3)
            .fold(String::new(), |text, line| text + line + "\n"),
    ] {
        assert!(
            matches!(opens(&bad), Err(checkpoint::Error::Malformed(_))),
            "{bad}"
        );
    }
    let two_lines = Checkpoint {
        origin: "a\nb".into(),
        ..example()
    };
    assert!(two_lines.sign(&[&key]).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>(), lines in "[ -~—\n]{0,200}") {
        let keys = [key(PETER)];
        for text in [text.clone(), format!("{TEXT}\n— {text}\n"), lines] {
            let _ = open(&text, &keys);
            let _ = Checkpoint::parse_unverified(&text);
            let _ = (VerifierKey::parse(&text), SigningKey::parse(&text));
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0..7u8) {
        let key = SigningKey::from_seed(&example().origin, &[1; 32]).expect("a key");
        let keys = [key.verifier().clone()];
        let note = example().sign(&[&key]).expect("signed");
        let mut bytes = note.clone().into_bytes();
        bytes[at.index(note.len())] ^= 1u8 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(Checkpoint::open(&changed, &keys).is_err(), "{changed}");
        }
    }

    #[test]
    fn keys_read_back(name in "[^\\s+\\p{Cc}]{1,20}", seed in any::<[u8; 32]>()) {
        let key = SigningKey::from_seed(&name, &seed).expect("a key");
        let again = SigningKey::parse(&key.to_secret_text()).expect("reads back");
        prop_assert_eq!(again.verifier(), key.verifier());
        prop_assert_eq!(&VerifierKey::parse(&key.verifier().to_string()).expect("reads back"), key.verifier());
    }
}
