//! Calling the function of a macro once for each distinct set of arguments, not once for each row.
//!
//! A rule such as `@open_project(project)` asks the same question for every row of a project. The function of a macro is STABLE:
//! within one statement the same arguments have the same answer, so the answers are kept with the call in the
//! statement's plan and forgotten with it. PostgreSQL does this for joins (Memoize) but not for functions.

use std::collections::HashMap;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

use pgrx::PgTryBuilder;
use pgrx::datum::IntoDatum;
use pgrx::fcinfo::{pg_arg_is_null, pg_func_extra, pg_getarg_datum_raw};
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::prelude::*;

use crate::error::{Error, state_of};
use crate::guc;

/// Answers that one call keeps. Beyond it they are forgotten: what has a million different arguments gains nothing.
const MOST: usize = 10_000;

/// What is kept with one call in a plan.
struct Call {
    /// The function, ready to be called: looking it up by name would need rights on its schema.
    function: pg_sys::FmgrInfo,
    arguments: Vec<Argument>,
    answers: HashMap<Vec<u8>, Option<bool>>,
    /// The arguments of the row at hand, as bytes; kept for its memory.
    key: Vec<u8>,
}

struct Argument {
    oid: pg_sys::Oid,
    length: i16,
    by_value: bool,
    /// The function that prints a value.
    output: pg_sys::Oid,
}

/// What the function of a macro says to these arguments, each cast to text. NULL where it says NULL.
///
/// Called once for each distinct set of arguments of a statement. Errors: 22023 when the function is none of a macro, or takes
/// another number of arguments; 22023 when it fails.
#[pg_extern(
    stable,
    parallel_restricted,
    sql = r#"
create function snackbase."_macro_call"(function regprocedure, variadic arguments "any") returns boolean
stable parallel restricted language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
create function snackbase."_macro_call"(function regprocedure) returns boolean
stable parallel restricted language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#
)]
fn _macro_call(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<bool>, ErrorReport> {
    // SAFETY: Postgres passes a valid fcinfo, whose flinfo lives as long as the plan that runs.
    Ok(unsafe { call(fcinfo) }?)
}

/// # Safety
/// `fcinfo` is valid and its arguments are those of the SQL declaration.
unsafe fn call(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<bool>, Error> {
    // SAFETY: argument 0 is declared; what is kept is dropped with the memory of the plan.
    let mut kept = unsafe {
        if (*(*fcinfo).flinfo).fn_extra.is_null() {
            let call = Call::of(fcinfo)?;
            pg_func_extra(fcinfo, || call)
        } else {
            pg_func_extra(fcinfo, || unreachable!("it is there"))
        }
    };
    let Call {
        function,
        arguments,
        answers,
        key,
    } = &mut *kept;
    key.clear();
    for (index, argument) in arguments.iter().enumerate() {
        // SAFETY: one argument for each type that was read from the call itself.
        unsafe { argument.append(fcinfo, index + 1, key) };
    }
    if let Some(answer) = answers.get(key) {
        return Ok(*answer);
    }
    // SAFETY: as above.
    let texts = arguments
        .iter()
        .enumerate()
        .map(|(index, argument)| unsafe { argument.text(fcinfo, index + 1) });
    // SAFETY: the function was found to be one of a macro, with as many arguments of type text.
    let answer = unsafe { ask(function, &texts.collect::<Vec<_>>()) }?;
    if answers.len() >= MOST {
        answers.clear();
    }
    answers.insert(key.clone(), answer);
    Ok(answer)
}

impl Call {
    /// # Safety
    /// As [`call`].
    unsafe fn of(fcinfo: pg_sys::FunctionCallInfo) -> Result<Call, Error> {
        let refused = || Error::Malformed("_macro_call() is for the functions of macros".to_owned());
        // SAFETY: the argument is an oid, or NULL; the look-ups copy what they return, or return NULL.
        let (oid, count) = unsafe {
            if pg_arg_is_null(fcinfo, 0) {
                return Err(refused());
            }
            let oid = pg_sys::Oid::from_datum(pg_getarg_datum_raw(fcinfo, 0), false).ok_or_else(refused)?;
            let name = pg_sys::get_func_name(oid);
            let is_ours = !name.is_null()
                && CStr::from_ptr(name).to_bytes().starts_with(b"macro_")
                && pg_sys::get_func_namespace(oid) == pg_sys::get_namespace_oid(c"snackbase".as_ptr(), false);
            let count = (*fcinfo).nargs - 1;
            if !is_ours || pg_sys::get_func_nargs(oid) != i32::from(count) {
                return Err(refused());
            }
            (oid, count)
        };
        let mut function = pg_sys::FmgrInfo::default();
        // SAFETY: the function exists; what is looked up with it lives as long as the plan.
        unsafe { pg_sys::fmgr_info_cxt(oid, &mut function, (*(*fcinfo).flinfo).fn_mcxt) };
        let mut arguments = Vec::new();
        for index in 1..=i32::from(count) {
            // SAFETY: the call's own expression tells the type of each argument.
            arguments.push(unsafe {
                let oid = pg_sys::get_fn_expr_argtype((*fcinfo).flinfo, index);
                let (mut length, mut by_value) = (0, false);
                pg_sys::get_typlenbyval(oid, &mut length, &mut by_value);
                let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
                pg_sys::getTypeOutputInfo(oid, &mut output, &mut is_varlena);
                Argument {
                    oid,
                    length,
                    by_value,
                    output,
                }
            });
        }
        Ok(Call {
            function,
            arguments,
            answers: HashMap::new(),
            key: Vec::new(),
        })
    }
}

/// Calls the function with these texts.
///
/// What it raises may hold values of rows that the caller must not see, for it is asked before anybody knows which rows those
/// are: the message goes to the server's log, the caller learns that the macro failed. A timeout, a
/// cancellation and the like are no failures of the macro.
///
/// # Safety
/// The function takes as many arguments of type text and returns a boolean.
unsafe fn ask(
    function: &mut pg_sys::FmgrInfo,
    texts: &[Option<pg_sys::Datum>],
) -> Result<Option<bool>, Error> {
    let oid = function.fn_oid;
    let _reading = guc::ReadOnly::begin();
    PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: as promised by the caller.
        Ok(unsafe { invoke(function, texts) })
    }))
    .catch_others(move |cause| match &cause {
        CaughtError::PostgresError(report) => {
            let state = state_of(report.sql_error_code());
            if matches!(&state[..2], "08" | "40" | "53" | "54" | "55" | "57" | "58") {
                cause.rethrow();
            }
            // SAFETY: the name is copied, or NULL when the function is gone.
            let function = unsafe {
                let name = pg_sys::get_func_name(oid);
                if name.is_null() {
                    String::new()
                } else {
                    CStr::from_ptr(name).to_string_lossy().into_owned()
                }
            };
            log!("{function} failed: {} ({state})", report.message());
            Err(Error::MacroFailed { function, state })
        }
        _ => cause.rethrow(),
    })
    .execute()
}

/// # Safety
/// As [`ask`].
unsafe fn invoke(function: &mut pg_sys::FmgrInfo, texts: &[Option<pg_sys::Datum>]) -> Option<bool> {
    let size = std::mem::size_of::<pg_sys::FunctionCallInfoBaseData>()
        + texts.len() * std::mem::size_of::<pg_sys::NullableDatum>();
    // SAFETY: the memory has room for the arguments behind the header, as Postgres lays them out; a function is called by
    // its address, and an error it raises is turned into a panic at the boundary.
    unsafe {
        let call = pg_sys::palloc0(size).cast::<pg_sys::FunctionCallInfoBaseData>();
        (*call).flinfo = function;
        (*call).fncollation = pg_sys::DEFAULT_COLLATION_OID;
        (*call).nargs = i16::try_from(texts.len()).unwrap_or_default();
        let arguments = (*call).args.as_mut_ptr();
        for (index, text) in texts.iter().enumerate() {
            let argument = arguments.add(index);
            (*argument).isnull = text.is_none();
            (*argument).value = text.unwrap_or(pg_sys::Datum::from(0));
        }
        let address = function.fn_addr?;
        let answer = pg_sys::ffi::pg_guard_ffi_boundary(|| address(call));
        let answer = bool::from_datum(answer, (*call).isnull);
        pg_sys::pfree(call.cast());
        answer
    }
}

impl Argument {
    /// Appends the bytes of argument `index`: equal bytes are equal values. (Equal values may have other bytes, such as 0 and -0;
    /// then the macro is asked twice.)
    ///
    /// # Safety
    /// The argument has this type.
    unsafe fn append(&self, fcinfo: pg_sys::FunctionCallInfo, index: usize, key: &mut Vec<u8>) {
        // SAFETY: a by-value datum is the value; a fixed length says how many bytes the pointer leads to; a varlena is
        // detoasted, which copies it when it was not plain.
        unsafe {
            if pg_arg_is_null(fcinfo, index) {
                return key.push(0);
            }
            key.push(1);
            let datum = pg_getarg_datum_raw(fcinfo, index);
            match self.length {
                _ if self.by_value => key.extend_from_slice(&datum.value().to_ne_bytes()),
                -1 => {
                    let value = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
                    let bytes = std::slice::from_raw_parts(
                        pgrx::varlena::vardata_any(value).cast::<u8>(),
                        pgrx::varlena::varsize_any_exhdr(value),
                    );
                    key.extend_from_slice(&bytes.len().to_ne_bytes());
                    key.extend_from_slice(bytes);
                }
                length => {
                    let length = usize::try_from(length).unwrap_or_default();
                    key.extend_from_slice(std::slice::from_raw_parts(datum.cast_mut_ptr::<u8>(), length));
                }
            }
        }
    }

    /// Argument `index` as SQL casts it to text; `None` is NULL.
    ///
    /// # Safety
    /// As [`Argument::append`].
    unsafe fn text(&self, fcinfo: pg_sys::FunctionCallInfo, index: usize) -> Option<pg_sys::Datum> {
        // SAFETY: the output function is that of the type, and returns a NUL-terminated text.
        unsafe {
            if pg_arg_is_null(fcinfo, index) {
                return None;
            }
            let datum = pg_getarg_datum_raw(fcinfo, index);
            match self.oid {
                pg_sys::TEXTOID => Some(datum),
                // The cast says true and false, the output function t and f.
                pg_sys::BOOLOID => bool::from_datum(datum, false)?.to_string().into_datum(),
                _ => {
                    let text = pg_sys::OidOutputFunctionCall(self.output, datum);
                    CStr::from_ptr(text).to_string_lossy().into_owned().into_datum()
                }
            }
        }
    }
}
