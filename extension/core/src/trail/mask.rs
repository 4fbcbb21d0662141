//! Which columns of core tables hold personal data, judged by their names: they have no schema that says so.

use crate::schema::MaskType;

/// The mask of a column of a core table; `None`: shown as it is. Source: contract of the audit trail §3.6.
///
/// The contract's word for names is taken for names of persons: `first_name`, but neither `name` alone, which in core tables is
/// the name of a thing (an account, a group, a role), nor the name of a file or a login.
pub fn core_column(column: &str) -> Option<MaskType> {
    let column = column.to_lowercase();
    let contains = |words: &[&str]| words.iter().any(|word| column.contains(word));
    if contains(&["email"]) {
        // A flag about an address is no address.
        return (!column.starts_with("email_verified")).then_some(MaskType::Email);
    }
    if contains(&["ssn", "social_security"]) {
        return Some(MaskType::Ssn);
    }
    if contains(&["phone", "mobile"]) {
        return Some(MaskType::Phone);
    }
    // What an identity provider said about a person.
    if column == "profile_data" || column == "external_id" {
        return Some(MaskType::Full);
    }
    let person = contains(&["name"]) && column != "name" && column != "username";
    let thing = ["file", "table", "collection", "column", "provider", "host"]
        .iter()
        .any(|thing| column.contains(thing));
    (person && !thing).then_some(MaskType::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_decide() {
        for (column, expected) in [
            ("email", Some(MaskType::Email)),
            ("External_Email", Some(MaskType::Email)),
            ("email_verified", None),
            ("email_verified_at", None),
            ("ssn", Some(MaskType::Ssn)),
            ("social_security_number", Some(MaskType::Ssn)),
            ("mobile", Some(MaskType::Phone)),
            ("phone_2", Some(MaskType::Phone)),
            ("first_name", Some(MaskType::Name)),
            ("fullname", Some(MaskType::Name)),
            ("name", None),
            ("username", None),
            ("filename", None),
            ("file_name", None),
            ("auth_provider_name", None),
            ("profile_data", Some(MaskType::Full)),
            ("role_id", None),
        ] {
            assert_eq!(core_column(column), expected, "{column}");
        }
    }
}
