//! Masks: the examples of the contract.

use proptest::prelude::*;
use snackbase_core::records::mask;
use snackbase_core::schema::MaskType;

#[test]
fn examples() {
    use MaskType::*;
    for (mask_type, text, masked) in [
        (Email, "john.doe@ex.com", "j***@ex.com"),
        (Email, "a@ex.com", "a***@ex.com"),
        (Email, "é@ex.com", "é***@ex.com"),
        (Email, "a@b@c", "a***@b@c"),
        (Email, "notanemail", "notanemail"),
        (Email, "@ex.com", "@ex.com"),
        (Ssn, "123456789", "***-**-****"),
        (Ssn, "123-45-6789", "***-**-****"),
        (Ssn, "12-345-678", "**-***-***"),
        (Ssn, "ab1c2", "ab*c*"),
        (Phone, "+1-555-123-4567", "+1-***-***-4567"),
        (Phone, "+15551234567", "+155-***-***-4567"),
        (Phone, "5551234567", "***-***-4567"),
        (Phone, "(555) 123-4567", "***-***-4567"),
        (Phone, "+ 555 123 4567", "***-***-4567"),
        (Phone, "555", "***"),
        (Phone, "+1", "+*"),
        (Phone, "none", "none"),
        (Name, "John  M Doe", "J*** M*** D***"),
        (Name, "O'Brien", "O***"),
        (Full, "secret", "******"),
        (Full, "sécret", "******"),
        (Full, "1234.5", "******"),
        (Custom, "secret", "******"),
    ] {
        assert_eq!(mask(mask_type, text), masked, "{mask_type:?} {text}");
        assert_eq!(mask(mask_type, ""), "");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        use MaskType::*;
        for mask_type in [Email, Ssn, Phone, Name, Full, Custom] {
            let _ = mask(mask_type, &text);
        }
        prop_assert!(mask(Full, &text).chars().all(|c| c == '*'));
        prop_assert!(!mask(Ssn, &text).chars().any(char::is_numeric));
    }
}
