//! Handwritten sources, resources, references and settings.

use serde_json::{Value, json};

use super::handwritten::list;

pub fn sources() -> Vec<Value> {
    list(json!([
        "data:,",
        "data:,hello",
        "data:,hello%20world%0A",
        "data:,a b",
        "data:,%2",
        "data:,%zz",
        "data:;base64,",
        "data:;base64,aGk=",
        "data:;base64,aGk",
        "data:;base64,aGk*",
        "data:;base64,aG\nk=",
        "data:text/plain,a",
        "data:text/plain;charset=utf-8,a",
        "data:text/plain;charset=\"utf-8\",a",
        "data:text/plain;charset=utf-8;base64,aGk=",
        "data:;charset=utf-8,a",
        "data:application/octet-stream;base64,AAEC",
        "data:x-own/type,a",
        "data:what/ever,a",
        "data:text,a",
        "data:",
        "data",
        "data:text/plain;base64;a=b,aGk=",
        "data:;BASE64,aGk=",
        "data:,a#b",
        "data:,a?b=c&d",
        "data:,a[b]",
        "data:,{\"a\":1}",
        "data:,%C3%BC",
        "data:image/png;base64,iVBORw0KGgo=",
        "data:;base64,aGl=",
        "data:;a=,x",
        "data:;=a,x",
        "data:,a%00b",
        "ftp://a/b",
        "file:///etc/passwd",
        "/etc/passwd",
        "a",
        "://",
        "http://a.example/b",
        "https://a.example/b?c=d#e",
        "HTTPS://a.example/b",
        "tftp://a.example/b",
        "s3://bucket/key",
        "s3://bucket/key?versionId=1",
        "s3://bucket/key?versionId=",
        "gs://bucket/object",
        "oem:///a",
        "arn:aws:s3:::bucket/key",
        "http://[::1]:80/a",
        "http://a.example:port/b",
        "http://a b/c",
        "http://a.example/%zz",
        "https://user:secret@a.example/b",
    ]))
}

pub fn resources() -> Vec<Value> {
    let (right, wrong) = (format!("sha512-{}", HI_512), format!("sha512-{}", "0".repeat(128)));
    list(json!([
        {}, {"source": null}, {"source": "data:,hi", "compression": ""}, {"source": "data:,hi", "compression": "xz"},
        {"source": "data:;base64,H4sIAAAAAAAAA8vIBACshhTYAgAAAA==", "compression": "gzip"}, {"source": "data:;base64,H4sIAAAAAAACA8vI5AIAenpv7QMAAAA=", "compression": "gzip"},
        {"source": "data:,hi", "verification": {"hash": right}}, {"source": "data:,hi", "verification": {}},
        {"source": "data:,hi", "verification": {"hash": "sha512"}}, {"source": "data:,hi", "verification": {"hash": "sha512-00"}},
        {"source": "data:,hi", "verification": {"hash": "md5-00000000000000000000000000000000"}},
        {"source": "data:,hi", "verification": {"hash": format!("sha256-{HI_256}")}},
        {"source": "data:,hi", "verification": {"hash": ""}}, {"verification": {"hash": wrong}},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "A", "value": "b"}]},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "", "value": "b"}]},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "A", "value": ""}]},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "A"}]},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "A", "value": "b"}, {"name": "A", "value": "c"}]},
        {"source": "data:,hi", "httpHeaders": [{"name": "A", "value": "b"}]}, {"httpHeaders": [{"name": "A", "value": "b"}]},
        {"source": "tftp://a.example/b", "httpHeaders": [{"name": "A", "value": "b"}]}, {"source": "data:,hi", "httpHeaders": []},
        {"source": 1},
    ]))
}

const HI_256: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
const HI_512: &str = "150a14ed5bea6cc731cf86c41566ac427a8db48ef1b9fd626664b3bfbb99071fa4c922f33dde38719b8c8354e2b7ab9d77e0e67fc12843920a712e73d558e197";

pub fn references() -> Vec<Value> {
    let child = "data:,%7B%22ignition%22%3A%7B%22version%22%3A%223.0.0%22%7D%7D";
    list(json!([
        {"merge": [{"source": child}]}, {"replace": {"source": child}}, {"merge": [{"source": child}, {"source": child}]},
        {"merge": [{"source": "ftp://a"}]}, {"merge": [{}], "replace": {}}, {"merge": [{"source": ""}]}, {"merge": []},
        {"replace": {"source": child, "compression": "gz"}}, {"replace": {"source": child, "verification": {"hash": "a"}}},
        {"merge": [{"source": "https://a.example/b", "httpHeaders": [{"name": "A", "value": "b"}]}]},
    ]))
}

pub fn ignition() -> Vec<Value> {
    list(json!([
        {"timeouts": {"httpResponseHeaders": 5, "httpTotal": 0}}, {"timeouts": {}}, {"timeouts": {"httpTotal": "5"}},
        {"security": {"tls": {"certificateAuthorities": [{"source": "https://a.example/ca.pem"}]}}},
        {"security": {"tls": {"certificateAuthorities": [{"source": ""}]}}},
        {"security": {"tls": {"certificateAuthorities": [{"source": "https://a/b"}, {"source": "https://a/b"}]}}},
        {"security": {"tls": {"certificateAuthorities": [{"source": "x://a/b"}]}}},
        {"proxy": {"httpProxy": "http://p.example:3128", "httpsProxy": "https://p.example", "noProxy": ["a", "b"]}},
        {"proxy": {"httpProxy": "socks5://p.example"}}, {"proxy": {"httpsProxy": "http://p.example"}},
        {"proxy": {"httpsProxy": ""}}, {"proxy": {"httpProxy": "p.example"}}, {"proxy": {"noProxy": ["a", "a"]}},
        {"proxy": {"httpProxy": "http://p.example:x"}}, {"security": {}}, {"unknown": 1},
    ]))
}
