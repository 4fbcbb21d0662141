//! A disagreement in words: who there is, what the collections say, the request and both answers.

use std::fmt::Write;

use super::Disagreement;
use super::model::{ACCOUNTS, Operation, to_json};
use super::stage::{describe, source};

/// The reproduction for people.
pub fn report(found: &Disagreement) -> String {
    let Disagreement {
        case,
        seed,
        expected,
        seen,
        note,
    } = found;
    let mut text = format!("seed {seed} (SNACKBASE_DIFFERENTIAL_SEED={seed})\n");
    for person in &case.world.people {
        let _ = writeln!(
            text,
            "  {} {} of {}, role {}, groups {:?}",
            person.name, person.id, ACCOUNTS[person.account].1, person.role, person.groups
        );
    }
    for collection in &case.world.collections {
        let _ = writeln!(text, "  collection {}", collection.name);
        for field in &collection.fields {
            let _ = write!(text, "    {} {}", field.name, field.wire);
            if let Some(made) = &field.computed {
                let _ = write!(text, " = {made}");
            }
            if let Some(mask) = field.mask {
                let _ = write!(text, ", pii {mask}");
            }
            if field.indexed {
                text.push_str(", indexed");
            }
            if field.unique {
                text.push_str(", unique");
            }
            if let Some(default) = &field.default {
                let _ = write!(text, ", default {default:?}");
            }
            if let Some((target, action)) = &field.refers {
                let _ = write!(text, " -> {target} on delete {action}");
            }
            text.push('\n');
        }
        for operation in Operation::ALL {
            let list = collection.lists.get(operation as usize).cloned().flatten();
            let list = list.map_or_else(|| "*".to_owned(), |list| format!("{list:?}"));
            let _ = writeln!(
                text,
                "    {}: {}   fields {list}",
                operation.name(),
                source(collection.rule(operation))
            );
        }
        for permission in &collection.permissions {
            let list = permission
                .fields
                .as_ref()
                .map_or_else(|| "*".to_owned(), |list| format!("{list:?}"));
            let _ = writeln!(
                text,
                "    narrowed for role {}: {}: {}   fields {list}",
                permission.role,
                permission.act,
                source(&permission.rule)
            );
        }
        for row in &collection.rows {
            let values: Vec<String> = row
                .iter()
                .map(|(name, value)| format!("{name}={}", to_json(value)))
                .collect();
            let _ = writeln!(text, "    row {}", values.join(" "));
        }
    }
    let _ = writeln!(text, "  request of {}", describe(&case.world, &case.request));
    let _ = writeln!(text, "  expected {:?} {}", expected.codes, expected.body);
    let _ = writeln!(text, "  seen     {} {}", seen.code, seen.body);
    if !seen.refusal.is_empty() {
        let _ = writeln!(text, "           {}", seen.refusal);
    }
    if !note.is_empty() {
        let _ = writeln!(text, "  {note}");
    }
    text
}
