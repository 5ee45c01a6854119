//! A host that a URL may have is one that TLS knows as a name or an address, so that no webhook that was
//! read fails when its endpoint is set up.

use proptest::prelude::*;
use rustls::pki_types::ServerName;

use crate::model::Url;

fn agrees(host: &str) -> Result<(), String> {
    match Url::parse(&format!("https://{host}/")) {
        Ok(url) => ServerName::try_from(url.host().to_owned())
            .map(drop)
            .map_err(|error| format!("{host}: {error}")),
        Err(_) => Ok(()),
    }
}

proptest! {
    #[test]
    fn what_a_url_takes_tls_takes(host in "[a-c0-3x._-]{1,12}|[0-9]{1,3}(\\.[0-9]{1,3}){0,4}|\\[[0-3a-f:.]{1,9}\\]|a{60,66}\\.b") {
        prop_assert_eq!(agrees(&host), Ok(()));
    }
}

#[test]
fn the_longest_names_too() {
    for length in 240..260 {
        let host = format!("{}b", "a.".repeat(length / 2));
        assert_eq!(agrees(&host), Ok(()));
        assert_eq!(agrees(&format!("{host}.")), Ok(()));
    }
}
