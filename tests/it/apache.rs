//! Apache, which asks who a request is from, for the whole host or in a Location: what is turned away, and in which words.
//!
//! In a Location it asks once it has the request: by another handshake in TLS 1.2, which we say no to at once, and
//! behind the first in TLS 1.3, which it does not try with us. Either way the words name the Location.

use crate::mutual::{serving, three, wait_for};
use crate::support::{Authority, SOON, World, need, own_address};

const WHOLE: &str = "SSLVerifyClient require";
const LOCATION: &str = "<Location />\nSSLVerifyClient require\n</Location>";

fn configuration(folder: &str, address: &str, protocol: &str, asks: &str) -> String {
    let modules = ["mpm_event", "authz_core", "rewrite", "socache_shmcb", "ssl"];
    let modules: String = modules
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    format!(
        "ServerRoot {folder}\nServerName localhost\nPidFile {folder}/apache.pid\nErrorLog {folder}/apache.log\n\
         Listen {address}\n{modules}SSLEngine on\nSSLProtocol -all +{protocol}\nSSLCertificateFile server.pem\n\
         SSLCertificateKeyFile server.key\nSSLCACertificateFile ca.pem\n{asks}\n\
         <Location />\nRewriteEngine On\nRewriteRule .* - [R=200,L]\n</Location>\n"
    )
}

#[test]
fn apache_asks_for_the_whole_host_or_is_told_to() {
    if !need("apache2") {
        return;
    }
    for (asks, protocol) in [
        (WHOLE, "TLSv1.2"),
        (WHOLE, "TLSv1.3"),
        (LOCATION, "TLSv1.2"),
        (LOCATION, "TLSv1.3"),
    ] {
        let authority = Authority::new();
        let world = World::new(&[]);
        let address = own_address();
        let host = address.ip().to_string();
        let (certificate, key) = authority.server(&host);
        world.write("server.pem", certificate);
        world.write("server.key", key);
        three(&world, &authority, address.port(), "");
        let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
        world.write("webhooks.toml", text.replace("127.0.0.1", &host));
        let folder = world.folder().display().to_string();
        let file = configuration(&folder, &address.to_string(), protocol, asks);
        world.write("apache.conf", file);
        let file = format!("{folder}/apache.conf");
        let _server = serving("apache2", world.folder(), &["-X", "-f", &file]);
        wait_for(address);
        let daemon = world.start();
        for name in ["none", "stranger", "good"] {
            world.emit(name, "{}");
        }
        world.wait_number("SELECT count(*) FROM log", 3, SOON);
        for row in world.log(
            "SELECT webhook, coalesce(class, 'NULL'), coalesce(error, 'NULL'), outcome FROM log",
        ) {
            let is_let_in = row[0] == "good" && asks == WHOLE;
            if is_let_in {
                assert_eq!(row[1..], ["NULL", "NULL", "delivered"], "{protocol}");
                continue;
            }
            assert_eq!(row[1], "client certificate", "{protocol} {row:?}");
            assert_eq!(
                row[2].contains("stands in a Location"),
                asks == LOCATION,
                "{protocol} {row:?}"
            );
        }
        daemon.stop();
    }
}
