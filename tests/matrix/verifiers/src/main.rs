//! Standard Webhooks in Rust: lines of secret, headers and body in, yes or no out.

use http::{HeaderMap, HeaderName};
use serde_json::Value;
use standardwebhooks::Webhook;

fn main() {
    for line in std::io::stdin().lines() {
        let asked: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in asked["headers"].as_object().unwrap() {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, value.as_str().unwrap().parse().unwrap());
        }
        let webhook = Webhook::new(asked["secret"].as_str().unwrap()).unwrap();
        let verified = webhook.verify(asked["body"].as_str().unwrap().as_bytes(), &headers);
        println!("{}", if verified.is_ok() { "yes" } else { "no" });
    }
}
