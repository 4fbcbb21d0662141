//! `expand`: objects in the place of ids, up to a few references deep.
//!
//! A page and its references take one query for the page and one for every field and level, whatever the number of rows. A
//! referenced record is read as its view would show it to the caller: as role `snackbase_view`, under the view
//! rule, the view fields and the masks of its own collection. What is not visible there is null, as is what does not exist.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use pgrx::datum::Uuid;
use snackbase_core::schema::FieldType;

use super::admit;
use crate::collections::{self, Access, Collection, mask_of, sees_masks};
use crate::context::{Context, Operation};
use crate::error::Error;
use crate::json::{self, Member, Slot};
use crate::query::{self, Projection, uuid_value};
use crate::{guc, spi};

/// A member to expand and what to expand inside it.
struct Branch {
    target: Target,
    wanted: Vec<Path>,
}

enum Target {
    Collection(String),
    User,
}

/// The names of a path such as `author.company`, still to be followed.
type Path = Vec<String>;

/// The columns of a request, and what is to be put into them.
pub struct Columns {
    projection: Rc<Projection>,
    branches: Vec<Branch>,
}

impl Columns {
    /// What the caller can read, trimmed to `fields`, with the members named by `expand=a,b.c` marked.
    ///
    /// # Errors
    /// [`Error::Query`] when a path does not begin with a reference or user field that the caller can read, or is too long.
    pub fn read(
        collection: &Collection,
        operation: Operation,
        access: Access<'_>,
        fields: Option<&str>,
        expand: Option<&str>,
    ) -> Result<Columns, Error> {
        if expand.is_none() {
            return Ok(Columns {
                projection: query::projection(collection, operation, access, fields)?,
                branches: Vec::new(),
            });
        }
        let mut projection = query::own_projection(collection, operation, access, fields)?;
        let branches = branches(collection, access, &mut projection, expand)?;
        Ok(Columns {
            projection: Rc::new(projection),
            branches,
        })
    }

    /// Puts the objects into the text of one or many records.
    ///
    /// # Errors
    /// What reading them raises; a collection that is locked for the caller is no error.
    pub fn fill(&self, text: String, slots: &[Slot]) -> Result<String, Error> {
        if slots.is_empty() {
            return Ok(text);
        }
        let objects = objects(slots, &self.branches)?;
        Ok(splice(&text, slots, &objects))
    }
}

impl std::ops::Deref for Columns {
    type Target = Projection;

    fn deref(&self) -> &Projection {
        &self.projection
    }
}

fn branches(
    collection: &Collection,
    access: Access<'_>,
    projection: &mut Projection,
    expand: Option<&str>,
) -> Result<Vec<Branch>, Error> {
    let refuse = |message: String| Error::Query {
        title: "Invalid expand field",
        message,
    };
    let mut paths: Vec<Path> = Vec::new();
    for path in expand.unwrap_or_default().split(',') {
        let names: Path = path
            .split('.')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        let Some(first) = names.first() else { continue };
        let field = collection
            .definition
            .field(first)
            .filter(|field| access.allows(collection, field));
        if !field.is_some_and(|field| matches!(field.field_type, FieldType::Reference | FieldType::User)) {
            return Err(refuse(format!("'{first}' is not a reference or user field")));
        }
        if names.len() > guc::expand_max_depth() {
            let most = guc::expand_max_depth();
            return Err(refuse(format!(
                "'{path}' is too long: at most {most} references are followed"
            )));
        }
        paths.push(names);
    }
    grow(collection, access, projection, paths)
}

/// One branch for each first name that is a shown reference or user field; other names are ignored.
fn grow(
    collection: &Collection,
    access: Access<'_>,
    projection: &mut Projection,
    paths: Vec<Path>,
) -> Result<Vec<Branch>, Error> {
    let mut wanted: Vec<(String, Vec<Path>)> = Vec::new();
    for mut path in paths {
        let first = path.remove(0);
        let at = match wanted.iter().position(|(name, _)| *name == first) {
            Some(at) => at,
            None => {
                wanted.push((first, Vec::new()));
                wanted.len() - 1
            }
        };
        if !path.is_empty() {
            wanted[at].1.push(path);
        }
    }
    let mut branches = Vec::new();
    for (name, wanted) in wanted {
        let Some(field) = collection.definition.field(&name) else {
            continue;
        };
        if mask_of(collection, field).is_some() && sees_masks(collection, access)? {
            continue;
        }
        let target = match field.field_type {
            FieldType::Reference => Target::Collection(field.collection.clone().unwrap_or_default()),
            FieldType::User => Target::User,
            _ => continue,
        };
        // A field that `fields` left out has no member.
        let Some(member) = projection.member(&name) else {
            continue;
        };
        member.branch = Some(branches.len());
        branches.push(Branch { target, wanted });
    }
    Ok(branches)
}

/// Per branch, the objects its slots ask for.
fn objects(slots: &[Slot], branches: &[Branch]) -> Result<Vec<HashMap<String, String>>, Error> {
    let of_branch = |(number, branch): (usize, &Branch)| {
        let ids: BTreeSet<&str> = slots
            .iter()
            .filter(|slot| slot.branch == number)
            .map(|slot| slot.id.as_str())
            .collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<_> = ids.into_iter().map(uuid_value).collect();
        match &branch.target {
            Target::Collection(name) => records(name, ids, &branch.wanted),
            Target::User => users(ids),
        }
    };
    branches.iter().enumerate().map(of_branch).collect()
}

fn splice(text: &str, slots: &[Slot], objects: &[HashMap<String, String>]) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut done = 0;
    for slot in slots {
        out.push_str(&text[done..slot.at]);
        out.push_str(objects[slot.branch].get(&slot.id).map_or("null", String::as_str));
        done = slot.at;
    }
    out.push_str(&text[done..]);
    out
}

/// The records of these ids that the caller may view, as JSON by id.
fn records(name: &str, ids: Vec<Option<Uuid>>, wanted: &[Path]) -> Result<HashMap<String, String>, Error> {
    let collection = collections::open(name)?;
    let access = match admit(&collection, Operation::View) {
        Ok(access) => access,
        Err(Error::Locked(_) | Error::AuthenticationRequired) => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let mut projection = query::own_projection(&collection, Operation::View, access, None)?;
    let branches = grow(&collection, access, &mut projection, wanted.to_vec())?;
    let statement = format!(
        "select id::text, {} from {} where id = any ($1)",
        projection.select, collection.relation
    );
    let read = |rows: spi::Rows<'_>| read_objects(rows, &projection.members);
    let arguments = [spi::uuid_array(ids)];
    let rows = match access {
        Access::Everything => spi::select(&statement, &arguments, read)?,
        Access::Listed(_) => spi::select_as_viewer(&statement, &arguments, read)?,
    };
    if branches.is_empty() {
        return Ok(rows.into_iter().map(|(id, text, _)| (id, text)).collect());
    }
    // The slots of all rows are looked up together; then each row gets its own.
    let mut slots: Vec<Slot> = Vec::new();
    let mut texts = Vec::new();
    for (id, text, own) in rows {
        let first = slots.len();
        slots.extend(own);
        texts.push((id, text, first..slots.len()));
    }
    let objects = objects(&slots, &branches)?;
    Ok(texts
        .into_iter()
        .map(|(id, text, own)| (id, splice(&text, &slots[own], &objects)))
        .collect())
}

/// Id, JSON text and open slots of each row.
fn read_objects(rows: spi::Rows<'_>, members: &[Member]) -> Result<Vec<(String, String, Vec<Slot>)>, Error> {
    rows.into_iter()
        .map(|row| {
            let (mut text, mut slots) = (String::new(), Vec::new());
            json::write_row(&mut text, &row, 2, members, &mut slots)?;
            Ok((row.get::<String>(1)?.unwrap_or_default(), text, slots))
        })
        .collect()
}

/// The people of these ids in the caller's account (a superadmin's: in every account), as JSON by id: their id, address, name
/// and picture (contract `records.md` §3.5), and nothing else of their row.
fn users(ids: Vec<Option<Uuid>>) -> Result<HashMap<String, String>, Error> {
    let statement = "
        select u.id::text,
               pg_catalog.json_build_object('id', u.id, 'email', u.email,
                   'first_name', coalesce(u.profile_data operator(pg_catalog.->>) 'first_name', u.profile_data operator(pg_catalog.->>) 'given_name'),
                   'last_name', coalesce(u.profile_data operator(pg_catalog.->>) 'last_name', u.profile_data operator(pg_catalog.->>) 'family_name'),
                   'avatar_url', coalesce(u.profile_data operator(pg_catalog.->>) 'avatar_url', u.profile_data operator(pg_catalog.->>) 'picture',
                                          u.profile_data operator(pg_catalog.->>) 'avatar'))::text
          from snackbase.users u
         where u.id operator(pg_catalog.=) any ($1)
           and (u.account_id operator(pg_catalog.=) $2 or $3)";
    let context = Context::current();
    let account = context.account_id.as_deref().and_then(uuid_value);
    let arguments = [
        spi::uuid_array(ids),
        account.into(),
        context.is_superadmin().into(),
    ];
    spi::select_as_owner(statement, &arguments, |rows| {
        rows.into_iter()
            .map(|row| {
                let text = |column| Ok::<_, Error>(row.get::<String>(column)?.unwrap_or_default());
                Ok((text(1)?, text(2)?))
            })
            .collect()
    })
}
