//! A bucket of an S3-compatible store: one object per checkpoint, written once and never again (`If-None-Match: *`). With
//! object lock on the bucket, or with its keys in other hands, not even an administrator of the database can change it.

use std::future::Future;
use std::pin::Pin;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};

use super::{Anchor, Checkpoint};

/// Where the bucket is, and how to open it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bucket.
    pub bucket: String,
    /// In front of every object's name; no slash at its ends; may be empty.
    pub prefix: String,
    /// Base URL of the store; `None`: Amazon's for the region.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// Access key id and secret; `None`: those of the machine (instance, container, web identity).
    pub credentials: Option<(String, String)>,
}

/// A bucket.
pub struct S3Anchor {
    name: String,
    prefix: String,
    store: AmazonS3,
}

impl S3Anchor {
    /// The anchor in that bucket. Nothing is sent yet.
    ///
    /// # Errors
    /// A sentence when the settings make no sense to the client.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        // Repeating is the business of the claims, where it is visible.
        let retry = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retry);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some((id, secret)) = &settings.credentials {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        let store = builder
            .build()
            .map_err(|failure| format!("SNACKBASE_AUDIT_ANCHOR_S3_URL: {failure}."))?;
        let place = [settings.bucket.as_str(), settings.prefix.as_str()];
        let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
        Ok(Self {
            name: format!("s3://{}", place.join("/")),
            prefix: settings.prefix.clone(),
            store,
        })
    }
}

/// `<prefix>/<origin>/<number, 20 digits>`: names sort as numbers do, and databases do not meet.
fn object(prefix: &str, checkpoint: &Checkpoint) -> Path {
    let origin = checkpoint.note.lines().next().unwrap_or_default();
    let number = format!("{:020}", checkpoint.block_number);
    let parts = prefix
        .split('/')
        .chain(origin.split('/'))
        .chain([number.as_str()]);
    parts.filter(|part| !part.is_empty()).collect()
}

impl Anchor for S3Anchor {
    fn name(&self) -> &str {
        &self.name
    }

    fn publish<'a>(
        &'a self,
        checkpoint: &'a Checkpoint,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let path = object(&self.prefix, checkpoint);
            let options = PutOptions::from(PutMode::Create);
            let body = checkpoint.note.clone().into_bytes();
            match self.store.put_opts(&path, body.into(), options).await {
                Ok(_) => Ok(()),
                Err(Error::AlreadyExists { .. }) => {
                    let there = async { self.store.get(&path).await?.bytes().await };
                    match there.await {
                        Ok(there) if there == checkpoint.note.as_bytes() => Ok(()),
                        Ok(_) => Err(format!("Object {path} exists and holds another note.")),
                        Err(failure) => Err(sentence(&failure)),
                    }
                }
                Err(failure) => Err(sentence(&failure)),
            }
        })
    }
}

fn sentence(failure: &Error) -> String {
    let mut text = failure.to_string();
    text.truncate(
        text.char_indices()
            .nth(400)
            .map_or(text.len(), |(place, _)| place),
    );
    format!("{text}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_sort_as_blocks_do() {
        let checkpoint = |block_number| Checkpoint {
            block_number,
            note: "snackbase/7/5\n9\n".to_owned(),
        };
        assert_eq!(
            object("", &checkpoint(9)).as_ref(),
            "snackbase/7/5/00000000000000000009"
        );
        assert_eq!(
            object("a/b", &checkpoint(i64::MAX)).as_ref(),
            "a/b/snackbase/7/5/09223372036854775807"
        );
    }
}
