//! What a list or an export asks for.

use serde_json::{Map, Value as Json};
use snackbase_core::schema::{Problem, time::parse_datetime};

use crate::context::uuid_of;
use crate::error::Error;
use crate::{context, spi};

/// Accounts and tables that have changes, by jumping from one to the next in the index of record chains: few, compared with
/// changes. For a record whose account is not named; an index on record ids would cost every writer.
const OWNERS: &str = "
with recursive owners as (
    (select a.account_id, a.table_name from snackbase.audit_change a order by a.account_id, a.table_name limit 1)
    union all
    select n.account_id, n.table_name
      from owners o
     cross join lateral (select a.account_id, a.table_name
                           from snackbase.audit_change a
                          where (a.account_id, a.table_name) > (o.account_id, o.table_name)
                          order by a.account_id, a.table_name
                          limit 1) n)
select o.account_id, o.table_name from owners o";

/// The members of a query: texts and numbers, null as good as absent.
pub struct Query(Map<String, Json>);

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is no object of texts, numbers and flags.
    pub fn parse(text: &str) -> Result<Query, Error> {
        let members: Map<String, Json> =
            serde_json::from_str(text).map_err(|_| Error::Malformed("the query is an object".into()))?;
        let plain = |value: &Json| !(value.is_array() || value.is_object());
        match members.iter().find(|(_, value)| !plain(value)) {
            Some((name, _)) => Err(Error::Malformed(format!("{name} is a text or a number"))),
            None => Ok(Query(members)),
        }
    }

    /// The text of a member.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// A whole number of a range, `default` when it is absent.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn number(&self, name: &str, least: i64, most: i64, default: i64) -> Result<i64, Error> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let number = text
            .parse::<i64>()
            .ok()
            .filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| Error::Malformed(format!("{name} is a whole number from {least} to {most}")))
    }

    /// Whether the newest comes first, as it does unless asked otherwise.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an order that is none.
    pub fn is_descending(&self) -> Result<bool, Error> {
        let order = self.text("sort_order").map(|order| order.to_lowercase());
        match order.as_deref() {
            None | Some("desc") => Ok(true),
            Some("asc") => Ok(false),
            Some(_) => Err(Error::Malformed("sort_order is asc or desc".into())),
        }
    }
}

/// Conditions over changes or imported entries `c`, and their arguments: texts.
pub struct Filter {
    /// Joined by `and`; `true` when nothing is asked for.
    pub condition: String,
    arguments: Vec<Option<String>>,
}

impl Filter {
    /// The filter of a query over `snackbase.audit_change c`: contract `audit.md` §3.1.
    ///
    /// # Errors
    /// [`Error::Shape`] for a date that is none.
    pub fn new(query: &Query) -> Result<Filter, Error> {
        let mut filter = Self::of_entries(query)?;
        if query.text("account_id").is_none() && query.text("record_id").is_some() && !bound()? {
            filter
                .condition
                .push_str(&format!(" and (c.account_id, c.table_name) in ({OWNERS})"));
        }
        Ok(filter)
    }

    /// The same over any `c` that has an entry's columns.
    ///
    /// # Errors
    /// As [`Filter::new`].
    pub fn of_entries(query: &Query) -> Result<Filter, Error> {
        let mut filter = Filter {
            condition: "true".into(),
            arguments: Vec::new(),
        };
        if let Some(account) = query.text("account_id") {
            match uuid_of(&account) {
                Some(account) => filter.add("c.account_id = {}::uuid", account.to_string()),
                None => filter.condition.push_str(" and false"),
            }
        }
        for (name, condition) in [
            ("table_name", "c.table_name = {}"),
            ("record_id", "c.record_id = {}"),
            ("user_id", "c.user_id = {}"),
            ("operation", "c.operation = upper({})"),
            ("auth_method", "c.auth_method = {}"),
        ] {
            match query.text(name) {
                // No text of the database has this character, and no parameter can.
                Some(text) if text.contains('\0') => filter.condition.push_str(" and false"),
                Some(text) => filter.add(condition, text),
                None => {}
            }
        }
        for (name, comparison) in [("from_date", ">="), ("to_date", "<=")] {
            let Some(text) = query.text(name) else { continue };
            let instant = parse_datetime(&text).ok_or_else(|| {
                let message = "Input should be an ISO 8601 date or instant";
                Error::Shape(vec![Problem::new(name, "datetime_invalid", message)])
            })?;
            filter.add(&format!("c.occurred_at {comparison} {{}}::timestamptz"), instant);
        }
        Ok(filter)
    }

    /// One more condition; `{}` in it stands for the argument, a text.
    pub fn add(&mut self, condition: &str, argument: String) {
        self.arguments.push(Some(argument));
        let parameter = format!("${}::text", self.arguments.len());
        self.condition.push_str(" and ");
        self.condition.push_str(&condition.replace("{}", &parameter));
    }

    /// The values of the parameters, in order.
    pub fn arguments(&self) -> Vec<Option<String>> {
        self.arguments.clone()
    }

    /// The number of the next parameter.
    pub fn next_parameter(&self) -> usize {
        self.arguments.len() + 1
    }
}

/// Whether row security adds a condition on the account, which leads to the index by itself.
fn bound() -> Result<bool, Error> {
    Ok(!spi::is_bound_to_no_account() && !context::Context::current().is_superadmin())
}
