//! Mail: from a template and a provider to somebody else's server. The queue is `snackbase.mail_outbox`; who takes mail from
//! it is `worker`.

pub mod aws_ses;
pub mod resend;
pub mod smtp;
pub mod template;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::configuration::{Configuration, Provider};
use crate::error::Error;
use crate::outbound::{Failure, Outbound};

/// The category of providers of mail.
pub const CATEGORY: &str = "email_providers";

/// One mail, ready to go.
pub struct Letter {
    /// Without angle brackets; the same at every attempt, so that a second copy can be recognised.
    pub message_id: String,
    /// Address.
    pub recipient: String,
    /// The texts.
    pub texts: template::Texts,
}

/// Why a mail was not delivered. The texts are for the log of mail, which superadmins read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// It may work later: no connection, a busy server, a provider that is not configured (yet) or refuses our credentials.
    #[error("{0}")]
    Later(String),
    /// It will not work: nobody of that address, a text that the provider refuses.
    #[error("{0}")]
    Never(String),
}

impl From<Failure> for Undelivered {
    fn from(failure: Failure) -> Self {
        Self::Later(failure.to_string())
    }
}

/// The provider that sends an account's mail: the first one, or the one that is named.
///
/// # Errors
/// What the database refuses; [`Undelivered::Later`] when there is none, because one can be configured.
pub async fn provider(
    configuration: &Configuration,
    account: Uuid,
    name: Option<&str>,
) -> Result<Result<Provider, Undelivered>, Error> {
    let providers = configuration.candidates(account, CATEGORY).await?;
    let wanted = providers
        .iter()
        .find(|provider| name.is_none_or(|name| provider.name == name));
    Ok(wanted
        .cloned()
        .ok_or_else(|| Undelivered::Later("No email provider is configured".to_owned())))
}

/// The variables that every text has: `app_name`, `app_url`, `support_email`, and over them the given ones.
///
/// # Errors
/// What the database refuses.
pub async fn variables(
    configuration: &Configuration,
    account: Uuid,
    given: Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let mut all = Map::new();
    if let Some(settings) = configuration.get(account, "system_settings", "system").await? {
        for name in ["app_name", "app_url", "support_email"] {
            if let Some(text) = settings.text(name) {
                all.insert(name.to_owned(), Value::from(text));
            }
        }
    }
    all.extend(given);
    Ok(all)
}

/// Sends one mail.
///
/// # Errors
/// [`Undelivered`].
pub async fn deliver(outbound: &Outbound, provider: &Provider, letter: &Letter) -> Result<(), Undelivered> {
    if provider.unreadable {
        let words = "The provider's secrets cannot be decrypted: is SNACKBASE_ENCRYPTION_KEY the right one?";
        return Err(Undelivered::Later(words.to_owned()));
    }
    match provider.name.as_str() {
        "smtp" => smtp::send(outbound, provider, message(provider, letter)?).await,
        "aws_ses" => aws_ses::send(outbound, provider, &message(provider, letter)?, letter).await,
        "resend" => resend::send(outbound, provider, letter).await,
        other => Err(Undelivered::Later(format!(
            "Provider {other} is not one that sends mail"
        ))),
    }
}

/// Whether a provider can be reached and takes our credentials; nothing is sent.
///
/// # Errors
/// [`Undelivered`].
pub async fn test(outbound: &Outbound, provider: &Provider) -> Result<(), Undelivered> {
    match provider.name.as_str() {
        "smtp" => smtp::test(outbound, provider).await,
        "aws_ses" => aws_ses::test(outbound, provider).await,
        _ => resend::test(outbound, provider).await,
    }
}

/// The name and address that mail comes from.
fn sender(provider: &Provider) -> Result<Mailbox, Undelivered> {
    let name = provider
        .text("from_name")
        .map(template::one_line)
        .filter(|name| !name.is_empty());
    Ok(Mailbox::new(
        name,
        address(provider.text("from_email").unwrap_or_default(), "from_email")?,
    ))
}

fn address(text: &str, what: &str) -> Result<Address, Undelivered> {
    text.trim()
        .parse()
        .map_err(|_| Undelivered::Never(format!("The address in {what} cannot be used")))
}

fn reply_to(provider: &Provider) -> Result<Option<Mailbox>, Undelivered> {
    let given = provider.text("reply_to").filter(|text| !text.trim().is_empty());
    given
        .map(|text| Ok(Mailbox::new(None, address(text, "reply_to")?)))
        .transpose()
}

/// The mail as RFC 5322 wants it, with a plain and an HTML part.
fn message(provider: &Provider, letter: &Letter) -> Result<Message, Undelivered> {
    let mut builder = Message::builder()
        .from(sender(provider)?)
        .to(Mailbox::new(None, address(&letter.recipient, "the recipient")?))
        .subject(letter.texts.subject.clone())
        .message_id(Some(format!("<{}>", letter.message_id)))
        .date_now();
    if let Some(reply_to) = reply_to(provider)? {
        builder = builder.reply_to(reply_to);
    }
    let part = |kind, text: &str| SinglePart::builder().header(kind).body(text.to_owned());
    let parts = MultiPart::alternative()
        .singlepart(part(ContentType::TEXT_PLAIN, &letter.texts.text))
        .singlepart(part(ContentType::TEXT_HTML, &letter.texts.html));
    builder
        .multipart(parts)
        .map_err(|failure| Undelivered::Never(format!("The mail cannot be built: {failure}")))
}
