//! Object stores as HTTP requests: S3 (signature version 4, or unsigned) and Google Cloud Storage. Pure.
//!
//! A bare-metal host has no metadata service that would give it credentials: they come from the usual environment
//! variables, else objects are asked for without any.

use sha2::{Digest, Sha256};
use url::Url;

/// Keys for S3.
#[derive(Clone)]
pub(super) struct Credentials {
    pub key: String,
    pub secret: String,
    pub session: Option<String>,
}

/// What the environment says about object stores.
#[derive(Clone, Default)]
pub(super) struct Store {
    pub credentials: Option<Credentials>,
    pub region: Option<String>,
    /// Another S3 server, with buckets in the path.
    pub endpoint: Option<String>,
    pub google_token: Option<String>,
}

pub(super) const DEFAULT_REGION: &str = "us-east-1";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl Store {
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        Self {
            credentials: keys.map(|(key, secret)| Credentials {
                key,
                secret,
                session: variable("AWS_SESSION_TOKEN"),
            }),
            region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
            endpoint: variable("AWS_ENDPOINT_URL_S3").or_else(|| variable("AWS_ENDPOINT_URL")),
            google_token: variable("GOOGLE_OAUTH_ACCESS_TOKEN"),
        }
    }

    /// The HTTPS URL of `s3://`, `arn:` and `gs://` sources.
    pub fn url(&self, source: &Url, region: &str) -> Result<Url, String> {
        let query = source.query().map_or_else(String::new, |query| format!("?{query}"));
        let bucket = source.host_str().unwrap_or("");
        let text = match source.scheme() {
            "gs" => format!("https://storage.googleapis.com/{bucket}{}{query}", source.path()),
            "s3" => self.s3(bucket, source.path(), region, "amazonaws.com") + &query,
            _ => self.arn(source.path(), region)? + &query,
        };
        Url::parse(&text).map_err(|error| error.to_string())
    }

    fn s3(&self, bucket: &str, path: &str, region: &str, domain: &str) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{}/{bucket}{path}", endpoint.trim_end_matches('/')),
            // TLS certificates of the store cover one label only.
            None if bucket.contains('.') => format!("https://s3.{region}.{domain}/{bucket}{path}"),
            None => format!("https://{bucket}.s3.{region}.{domain}{path}"),
        }
    }

    /// `aws:s3:region:account:bucket/key` or `…:accesspoint/name/key`, without the leading `arn:`.
    fn arn(&self, text: &str, region: &str) -> Result<String, String> {
        let parts: Vec<&str> = text.splitn(5, ':').collect();
        let [partition, "s3", own_region, account, resource] = parts[..] else {
            return Err("it is no ARN of S3".to_owned());
        };
        let region = if own_region.is_empty() { region } else { own_region };
        let domain = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let short = || "it names no object".to_owned();
        if let Some(rest) = resource.strip_prefix("accesspoint/") {
            let (name, key) = rest.split_once('/').ok_or_else(short)?;
            return Ok(format!("https://{name}-{account}.s3-accesspoint.{region}.{domain}/{key}"));
        }
        let (bucket, key) = resource.split_once('/').ok_or_else(short)?;
        Ok(self.s3(bucket, &format!("/{key}"), region, domain))
    }

    /// The headers that say who asks; `now` is like `20130524T000000Z`.
    pub fn headers(&self, scheme: &str, url: &Url, region: &str, now: &str) -> Vec<(String, String)> {
        if scheme == "gs" {
            let token = self.google_token.iter();
            return token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))).collect();
        }
        let Some(credentials) = &self.credentials else { return Vec::new() };
        let mut headers = vec![
            ("host".to_owned(), authority(url)),
            ("x-amz-content-sha256".to_owned(), EMPTY.to_owned()),
            ("x-amz-date".to_owned(), now.to_owned()),
        ];
        headers.extend(
            credentials.session.iter().map(|session| ("x-amz-security-token".to_owned(), session.clone())),
        );
        let signed = sign(credentials, url, &headers, region, now);
        headers.retain(|(name, _)| name != "host");
        headers.push(("authorization".to_owned(), signed));
        headers
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The value of `Authorization`; `headers` are in the order of their names, in lower case.
fn sign(
    credentials: &Credentials,
    url: &Url,
    headers: &[(String, String)],
    region: &str,
    now: &str,
) -> String {
    let day = now.get(..8).unwrap_or(now);
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let mut query: Vec<String> =
        url.query_pairs().map(|(name, value)| format!("{}={}", escaped(&name), escaped(&value))).collect();
    query.sort();
    let request = format!("GET\n{}\n{}\n{lines}\n{names}\n{EMPTY}", url.path(), query.join("&"));
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
    let start = format!("AWS4{}", credentials.secret).into_bytes();
    let key = [day, region, "s3", "aws4_request"]
        .iter()
        .fold(start, |key, part| keyed_hash(&key, part.as_bytes()).to_vec());
    let signature = hex::encode(keyed_hash(&key, text.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
        credentials.key
    )
}

fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// HMAC-SHA-256 (RFC 2104).
fn keyed_hash(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn sources_become_https_urls() {
        let store = Store::default();
        let cases = [
            ("s3://bucket/a/b?versionId=7", "https://bucket.s3.eu-west-1.amazonaws.com/a/b?versionId=7"),
            ("s3://dotted.bucket/a", "https://s3.eu-west-1.amazonaws.com/dotted.bucket/a"),
            ("gs://bucket/a/b", "https://storage.googleapis.com/bucket/a/b"),
            ("arn:aws:s3:::bucket/a", "https://bucket.s3.eu-west-1.amazonaws.com/a"),
            ("arn:aws-cn:s3:::bucket/a", "https://bucket.s3.eu-west-1.amazonaws.com.cn/a"),
            (
                "arn:aws:s3:us-east-2:123:accesspoint/point/a/b",
                "https://point-123.s3-accesspoint.us-east-2.amazonaws.com/a/b",
            ),
        ];
        for (source, wanted) in cases {
            assert_eq!(store.url(&url(source), "eu-west-1").expect(source).as_str(), wanted);
        }
        let own = Store { endpoint: Some("http://store:9000".into()), ..Store::default() };
        assert_eq!(
            own.url(&url("s3://bucket/a"), "x").expect("valid").as_str(),
            "http://store:9000/bucket/a"
        );
    }

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        let credentials = Credentials {
            key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session: None,
        };
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20130524T000000Z"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let object = url("https://examplebucket.s3.amazonaws.com/test.txt");
        let signed = sign(&credentials, &object, &headers, "us-east-1", "20130524T000000Z");
        assert!(
            signed.ends_with("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
        );
    }

    #[test]
    fn without_credentials_nothing_is_signed() {
        let object = url("https://bucket.s3.us-east-1.amazonaws.com/a");
        assert!(Store::default().headers("s3", &object, "us-east-1", "20130524T000000Z").is_empty());
    }
}
