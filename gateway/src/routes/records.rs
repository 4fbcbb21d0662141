//! Records. Source: records contract §1, §3 and §4.
//!
//! Nothing is interpreted here: filter, sort and field list stay text, records stay bytes.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde::de::DeserializeOwned;

use super::input::{JsonObject, Path, Query};
use crate::auth::signature::{Act, Presented};
use crate::auth::{Caller, CallerOrAnonymous};
use crate::db::{Json, JsonText, Statement};
use crate::error::Error;
use crate::state::State;

/// Names that are routers, now or in a later release: a collection so named is reachable only under `/records/`.
const ROUTERS: [&str; 24] = [
    "auth",
    "accounts",
    "users",
    "roles",
    "permissions",
    "groups",
    "invitations",
    "collections",
    "rules",
    "macros",
    "codelists",
    "records",
    "files",
    "realtime",
    "dashboard",
    "admin",
    "migrations",
    "webhooks",
    "hooks",
    "endpoints",
    "functions",
    "workflows",
    "backups",
    "audit-logs",
];

/// The short form `/{collection}` of a route under `/records`: not for the names of routers.
pub fn short(methods: MethodRouter<State>) -> MethodRouter<State> {
    methods.layer(from_fn(
        async |segments: Result<RawPathParams, RawPathParamsRejection>, request: Request, next: Next| {
            let reserved = |name: &str| ROUTERS.contains(&name) || name == "x" || name == "f";
            // A segment that is no text belongs to no router; the handler says what is wrong with it.
            let reserved = segments.is_ok_and(|segments| {
                segments
                    .iter()
                    .any(|(segment, name)| segment == "collection" && reserved(name))
            });
            if reserved {
                return Error::NoSuchRoute.into_response();
            }
            next.run(request).await
        },
    ))
}

/// `GET /records/{collection}`: one page.
pub async fn list(
    state: State,
    CallerOrAnonymous(caller): CallerOrAnonymous,
    Path(collection): Path<String>,
    uri: Uri,
) -> Result<Json, Error> {
    let page = match Page::read(Query::new(uri.query())) {
        Ok(page) => page,
        // Whether the caller may list at all is said before what nobody knows (contract §3.7).
        Err(unknown @ Error::UnsupportedParameter(_)) => {
            shortest(&state, &caller, &collection).await?;
            return Err(unknown);
        }
        Err(error) => return Err(error),
    };
    page.list(&state, &caller, &collection).await
}

/// The list that costs least.
async fn shortest(state: &State, caller: &Caller, collection: &str) -> Result<Json, Error> {
    let page = Page {
        limit: Some(1),
        fields: Some("id".to_owned()),
        cursor: Some(String::new()),
        ..Page::default()
    };
    page.list(state, caller, collection).await
}

/// `GET /records/{collection}/{id}`. Unknown parameters are ignored.
pub async fn view(
    state: State,
    CallerOrAnonymous(caller): CallerOrAnonymous,
    Path((collection, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let fields = query.text("fields");
    let expand = query.text("expand");
    state
        .database
        .json(
            &caller,
            Statement::RecordsView,
            &[&collection, &id, &fields, &expand],
        )
        .await
}

/// `GET /records/{collection}/aggregate`. Unknown parameters are ignored; `functions` must be there.
pub async fn aggregate(
    state: State,
    CallerOrAnonymous(caller): CallerOrAnonymous,
    Path(collection): Path<String>,
    uri: Uri,
) -> Result<Json, Error> {
    let mut query = Query::new(uri.query());
    let (filter, group_by, having) = (
        query.single("filter")?,
        query.single("group_by")?,
        query.single("having")?,
    );
    let functions = query.single("functions")?;
    let functions = query.required("functions", functions);
    query.finish()?;
    state
        .database
        .json(
            &caller,
            Statement::RecordsAggregate,
            &[&collection, &functions, &group_by, &filter, &having],
        )
        .await
}

/// A request that writes: who, where, with which signature, and what. Read in this order, so that of several mistakes the first
/// is told.
pub struct Write<P> {
    caller: Caller,
    place: P,
    if_match: Option<String>,
    presented: Presented,
    body: JsonText,
}

impl<P: DeserializeOwned + Send> FromRequest<State> for Write<P> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &State) -> Result<Self, Error> {
        let (mut parts, body) = request.into_parts();
        let CallerOrAnonymous(caller) = CallerOrAnonymous::from_request_parts(&mut parts, state).await?;
        let Path(place) = Path::from_request_parts(&mut parts, state).await?;
        let presented = Presented::from_request_parts(&mut parts, state).await?;
        let if_match = if_match(&parts.headers).map(str::to_owned);
        let JsonObject(body) = JsonObject::from_request(Request::from_parts(parts, body), state).await?;
        Ok(Self {
            caller,
            place,
            if_match,
            presented,
            body,
        })
    }
}

/// `POST /records/{collection}`.
pub async fn create(state: State, write: Write<String>) -> Result<(StatusCode, Json), Error> {
    let record = in_collection(&state, write, "create", Statement::RecordsCreate).await?;
    Ok((StatusCode::CREATED, record))
}

/// `PUT /records/{collection}/{id}`.
pub async fn replace(state: State, write: Write<(String, String)>) -> Result<Json, Error> {
    update(&state, write, true).await
}

/// `PATCH /records/{collection}/{id}`.
pub async fn change(state: State, write: Write<(String, String)>) -> Result<Json, Error> {
    update(&state, write, false).await
}

async fn update(state: &State, write: Write<(String, String)>, replace: bool) -> Result<Json, Error> {
    let (collection, id) = write.place;
    let act = Act {
        collection: &collection,
        operation: "update",
        record: Some(&id),
    };
    let caller = write.presented.sign(state, write.caller, act).await?;
    state
        .database
        .json(
            &caller,
            Statement::RecordsUpdate,
            &[&collection, &id, &write.body, &replace, &write.if_match],
        )
        .await
}

/// `DELETE /records/{collection}/{id}`.
pub async fn delete(
    state: State,
    CallerOrAnonymous(caller): CallerOrAnonymous,
    Path((collection, id)): Path<(String, String)>,
    headers: HeaderMap,
    presented: Presented,
) -> Result<Response, Error> {
    let act = Act {
        collection: &collection,
        operation: "delete",
        record: Some(&id),
    };
    let caller = presented.sign(&state, caller, act).await?;
    let if_match = if_match(&headers);
    state
        .database
        .flag(&caller, Statement::RecordsDelete, &[&collection, &id, &if_match])
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /records/{collection}/batch`.
pub async fn create_many(state: State, write: Write<String>) -> Result<(StatusCode, Json), Error> {
    let created = in_collection(&state, write, "create", Statement::RecordsCreateMany).await?;
    Ok((StatusCode::CREATED, created))
}

/// `PATCH /records/{collection}/batch`.
pub async fn change_many(state: State, write: Write<String>) -> Result<Json, Error> {
    in_collection(&state, write, "update", Statement::RecordsUpdateMany).await
}

/// `DELETE /records/{collection}/batch`, with a body.
pub async fn delete_many(state: State, write: Write<String>) -> Result<Json, Error> {
    in_collection(&state, write, "delete", Statement::RecordsDeleteMany).await
}

/// Writes what the body says to a collection.
async fn in_collection(
    state: &State,
    write: Write<String>,
    operation: &'static str,
    statement: Statement,
) -> Result<Json, Error> {
    let act = Act {
        collection: &write.place,
        operation,
        record: None,
    };
    let caller = write.presented.sign(state, write.caller, act).await?;
    state
        .database
        .json(&caller, statement, &[&write.place, &write.body])
        .await
}

/// The header `If-Match`; one that is no text matches nothing.
fn if_match(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::IF_MATCH)
        .map(|value| value.to_str().unwrap_or_default())
}

/// The parameters of a list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    filter: Option<String>,
    sort: Option<String>,
    fields: Option<String>,
    skip: Option<i64>,
    limit: Option<i64>,
    expand: Option<String>,
    cursor: Option<String>,
    cursor_before: Option<String>,
    include_count: Option<bool>,
}

impl Page {
    async fn list(&self, state: &State, caller: &Caller, collection: &str) -> Result<Json, Error> {
        state
            .database
            .json(
                caller,
                Statement::RecordsList,
                &[
                    &collection,
                    &self.filter,
                    &self.sort,
                    &self.skip,
                    &self.limit,
                    &self.fields,
                    &self.expand,
                    &self.cursor,
                    &self.cursor_before,
                    &self.include_count,
                ],
            )
            .await
    }

    /// Source: records contract §3. An explicit `skip` wins over `page`, `limit` over its other names.
    fn read(mut query: Query<'_>) -> Result<Self, Error> {
        let mut page = Self {
            filter: query.single("filter")?,
            sort: query.single("sort")?,
            fields: query.single("fields")?,
            skip: query.number("skip", 0..=i64::MAX),
            limit: None,
            expand: query.single("expand")?,
            cursor: query.single("cursor")?,
            cursor_before: query.single("cursor_before")?,
            include_count: query.flag("include_count"),
        };
        for name in ["per_page", "perPage", "limit"] {
            page.limit = query.number(name, 1..=100).or(page.limit);
        }
        // More pages than this have no number that fits.
        let number = query.number("page", 1..=i64::MAX / 100);
        let unknown = query.left_over().map(str::to_owned);
        query.finish()?;
        if let Some(name) = unknown {
            return Err(Error::UnsupportedParameter(name));
        }
        if let (None, Some(number)) = (page.skip, number) {
            page.skip = Some((number - 1) * page.limit.unwrap_or(DEFAULT_LIMIT));
        }
        Ok(page)
    }
}

/// What the database takes when no limit is given (`docs/sql-api.md` §2); needed to turn a page number into `skip`.
const DEFAULT_LIMIT: i64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<Page, Error> {
        Page::read(Query::new(Some(query)))
    }

    #[test]
    fn paging_has_several_spellings() {
        let cases = [
            ("", None, None),
            ("skip=40&limit=20", Some(40), Some(20)),
            ("page=3&perPage=20", Some(40), Some(20)),
            ("page=3&per_page=20", Some(40), Some(20)),
            ("page=2", Some(30), None),
            ("page=1", Some(0), None),
            ("page=3&skip=5", Some(5), None),
            ("perPage=7&limit=9", None, Some(9)),
        ];
        for (query, skip, limit) in cases {
            let page = page(query).unwrap_or_else(|error| panic!("{query}: {error}"));
            assert_eq!((page.skip, page.limit), (skip, limit), "{query}");
        }
    }

    #[test]
    fn text_is_passed_on_as_the_client_library_sends_it() {
        let query =
            "skip=20&limit=10&sort=-created_at%2C%2Bname&fields=id&filter=status+%3D+%27x%27+%26%26+a+%3E+-5";
        assert_eq!(
            page(query).ok(),
            Some(Page {
                filter: Some("status = 'x' && a > -5".into()),
                sort: Some("-created_at,+name".into()),
                fields: Some("id".into()),
                skip: Some(20),
                limit: Some(10),
                ..Page::default()
            })
        );
    }

    #[test]
    fn what_is_out_of_range_is_a_misfit() {
        for query in [
            "limit=0",
            "limit=101",
            "limit=x",
            "limit=",
            "skip=-1",
            "page=0",
            "page=99999999999999999999",
        ] {
            assert!(matches!(page(query), Err(Error::Misfits(_))), "{query}");
        }
    }

    #[test]
    fn what_is_unknown_or_repeated_is_refused_and_never_ignored() {
        assert!(matches!(page("status=x"), Err(Error::UnsupportedParameter(name)) if name == "status"));
        assert!(matches!(
            page("filter=a&filter=b"),
            Err(Error::RepeatedParameter("filter"))
        ));
        assert!(matches!(page("include_count=maybe"), Err(Error::Misfits(_))));
        assert_eq!(
            page("cursor=").ok().and_then(|page| page.cursor).as_deref(),
            Some("")
        );
    }
}
