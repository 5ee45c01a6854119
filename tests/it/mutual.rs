//! Mutual TLS: what is shown to a server that asks, what a reload changes, what `check` finds, and what real servers do.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::support::{
    Authority, Hook, Receiver, SOON, World, check, eventually, hook, need, own_address,
};

const FILES: &str = "client_cert_file = \"client.pem\"\nclient_key_file = \"client.key\"";

fn https(name: &str, port: u16) -> Hook {
    hook(name, format!("https://127.0.0.1:{port}/"))
        .one_attempt()
        .line("ca_file = \"ca.pem\"")
}

fn write_pair(world: &World, (certificate, key): (String, String)) {
    world.write("client.pem", certificate);
    world.write("client.key", key);
}

/// Emits an event and waits for its one attempt: outcome, class, error.
fn attempt(world: &World) -> Vec<String> {
    let id = world.emit("e", "{}");
    world.wait_number(
        &format!("SELECT count(*) FROM log WHERE event_id = {id}"),
        1,
        SOON,
    );
    let columns = "outcome, coalesce(class, 'NULL'), coalesce(error, 'NULL')";
    world
        .log(&format!("SELECT {columns} FROM log WHERE event_id = {id}"))
        .remove(0)
}

#[test]
fn a_reload_takes_another_certificate_in_for_kept_connections_too() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let receiver = Receiver::tls(authority.asking("127.0.0.1"));
    let world = World::new(&[https("w", receiver.port()).line(FILES)]);
    world.write("ca.pem", authority.pem());
    write_pair(&world, authority.client(|_| {}));
    let daemon = world.start();
    assert_eq!(attempt(&world)[0], "delivered");
    assert_eq!(attempt(&world)[0], "delivered");
    assert_eq!(receiver.connections(), 1, "it is kept");
    write_pair(&world, stranger.client(|_| {}));
    assert_eq!(attempt(&world)[0], "delivered", "not before the reload");
    daemon.reload();
    let refused = attempt(&world);
    assert_eq!(refused[1], "client certificate", "{refused:?}");
    assert!(
        refused[2].contains("127.0.0.1 does not accept our client certificate"),
        "{refused:?}"
    );
    // Files that do not belong together change nothing.
    world.write("client.pem", authority.client(|_| {}).0);
    let told = world.command(&["check"]).expect(2).stderr;
    let words =
        "its client key is of no use: it is not the key of the certificate in client_cert_file";
    assert!(told.contains(words), "{told}");
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_journal(words);
    assert_eq!(attempt(&world)[1], "client certificate");
    write_pair(&world, authority.client(|_| {}));
    daemon.reload();
    assert_eq!(attempt(&world)[0], "delivered");
    daemon.stop();
}

#[test]
fn a_credential_of_systemd_comes_before_the_file_beside_the_configuration() {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.asking("127.0.0.1"));
    let world = World::new(&[https("w", receiver.port()).line(FILES)]);
    world.write("ca.pem", authority.pem());
    let checked = world.command(&["check"]).expect(0).stderr;
    assert!(
        checked.contains("right if the service's unit has LoadCredential=client.key:..."),
        "{checked}"
    );
    std::fs::create_dir(world.path("credentials")).unwrap();
    let (certificate, key) = authority.client(|_| {});
    world.write("credentials/client.pem", certificate);
    world.write("credentials/client.key", key);
    let folder = world.path("credentials");
    let daemon = world.start_in(&[("CREDENTIALS_DIRECTORY", folder.as_os_str())]);
    assert_eq!(attempt(&world)[0], "delivered");
    daemon.stop();
}

#[test]
fn a_certificate_that_has_expired_is_told_of_and_sent_all_the_same() {
    let authority = Authority::new();
    let receiver = Receiver::tls(authority.asking("127.0.0.1"));
    let world = World::new(&[https("w", receiver.port()).line(FILES)]);
    world.write("ca.pem", authority.pem());
    write_pair(
        &world,
        authority.client(|params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }),
    );
    let words = "the client certificate has expired on 2021-01-01T00:00:00Z";
    let checked = world.command(&["check"]).expect(0).stderr;
    assert!(
        checked.contains("webhooks.toml:17:20: warning: "),
        "{checked}"
    );
    assert!(checked.contains(words), "{checked}");
    let daemon = world.start();
    daemon.wait_journal(words);
    let refused = attempt(&world);
    assert_eq!(refused[1], "client certificate", "{refused:?}");
    assert!(refused[2].contains(words), "{refused:?}");
    daemon.stop();
}

/// Runs openssl in the folder; its words are shown where it fails.
fn openssl(world: &World, line: &str) {
    let mut command = Command::new("openssl");
    let output = command
        .args(line.split(' '))
        .current_dir(world.folder())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "openssl {line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Kinds of keys that are taken, and how openssl makes them.
const TAKEN: [(&str, &str); 7] = [
    ("rsa-pkcs1", "genrsa -traditional -out KEY 2048"),
    (
        "rsa-pkcs8",
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out KEY",
    ),
    ("p256-sec1", "ecparam -name prime256v1 -genkey -out KEY"),
    (
        "p384-sec1",
        "ecparam -name secp384r1 -genkey -noout -out KEY",
    ),
    (
        "p256-pkcs8",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY",
    ),
    (
        "p384-pkcs8",
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out KEY",
    ),
    ("ed25519", "genpkey -algorithm ED25519 -out KEY"),
];

/// Keys that are not, how to get at them, and what is said.
const REFUSED: [(&str, &str, &str); 3] = [
    (
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out x.key",
        "",
        "of a kind that is not spoken here",
    ),
    (
        "genrsa -traditional -aes128 -passout pass:word -out x.key 2048",
        "-passin pass:word ",
        "its key is encrypted",
    ),
    (
        "genpkey -algorithm RSA -aes128 -pass pass:word -out x.key",
        "-passin pass:word ",
        "its key is encrypted",
    ),
];

/// Makes an authority of openssl's own.
fn root(world: &World) -> RootCertStore {
    openssl(
        world,
        "ecparam -name prime256v1 -genkey -noout -out root.key",
    );
    openssl(
        world,
        "req -x509 -key root.key -subj /CN=root -days 9 -out root.pem",
    );
    let root = std::fs::read(world.path("root.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(&root).unwrap();
    roots.add(root).unwrap();
    roots
}

/// Has that authority sign for a key.
fn sign(world: &World, name: &str, more: &str) {
    openssl(
        world,
        &format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"),
    );
    let files = format!("-in {name}.csr -out {name}.pem");
    openssl(
        world,
        &format!("x509 -req {files} -CA root.pem -CAkey root.key -CAcreateserial -days 99{more}"),
    );
}

fn pair(name: &str) -> String {
    format!("client_cert_file = \"{name}.pem\"\nclient_key_file = \"{name}.key\"")
}

#[test]
fn keys_as_openssl_writes_them_are_taken() {
    if !need("openssl") {
        return;
    }
    let authority = Authority::new();
    let world = World::new(&[]);
    world.write("ca.pem", authority.pem());
    world.write(
        "ext",
        "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth",
    );
    let receiver = Receiver::tls(authority.asking_for("127.0.0.1", root(&world)));
    let hooks = TAKEN.map(|(name, line)| {
        openssl(&world, &line.replace("KEY", &format!("{name}.key")));
        sign(&world, name, " -extfile ext");
        https(name, receiver.port()).line(pair(name))
    });
    world.configure(&hooks);
    let daemon = world.start();
    world.emit("e", "{}");
    let count = i64::try_from(TAKEN.len()).unwrap();
    world.wait_number("SELECT count(*) FROM log", count, SOON);
    let others = world.log("SELECT webhook, error FROM log WHERE outcome <> 'delivered'");
    assert!(others.is_empty(), "{others:?}");
    daemon.stop();
}

#[test]
fn keys_that_are_of_no_use_are_told_of_with_the_way_out() {
    if !need("openssl") {
        return;
    }
    let world = World::new(&[https("x", 1).line(pair("x"))]);
    world.write("ca.pem", Authority::new().pem());
    for (line, pass, words) in REFUSED {
        openssl(&world, line);
        openssl(
            &world,
            &format!("req -x509 -key x.key {pass}-subj /CN=x -days 99 -out x.pem"),
        );
        let told = world.command(&["check"]).expect(2).stderr;
        let place = "webhooks.toml:18:19: error: ";
        assert!(told.contains(place) && told.contains(words), "{told}");
    }
    root(&world);
    openssl(&world, "genpkey -algorithm ED25519 -out x.key");
    sign(&world, "x", "");
    let told = world.command(&["check"]).expect(2).stderr;
    let words = "X.509 version 1";
    assert!(told.contains(words) && told.contains("-extfile"), "{told}");
}

/// The manual page's commands, as they are read: what they make is taken without a word.
#[test]
fn the_recipe_of_an_authority_makes_what_is_taken() {
    if !need("openssl") {
        return;
    }
    let page = include_str!("../../packaging/man/webhooks.toml.5");
    let (_, recipe) = page.split_once("umask 077\n").unwrap();
    let (commands, keys) = recipe.split_once("\n\n").unwrap();
    let (keys, _) = keys.split_once(".Ed\n").unwrap();
    let world = World::new(&[https("x", 1).line(keys)]);
    let commands = commands.replace("\\e\n", "\\\n");
    let mut shell = Command::new("sh");
    shell
        .args(["-ec", &commands])
        .current_dir(world.folder())
        .stderr(Stdio::null());
    assert!(shell.status().unwrap().success());
    let checked = world.command(&["check"]).expect(0).stderr;
    assert!(!checked.contains("warning"), "{checked}");
    let (_, list) = page.split_once("[delivery]\ndeny_addresses").unwrap();
    let (list, _) = list.split_once(".Ed\n").unwrap();
    world.configure_with(
        &format!("[delivery]\ndeny_addresses{list}"),
        &[https("x", 1)],
    );
    let checked = world.command(&["check"]).expect(0).stderr;
    assert!(
        checked.contains("127.0.0.1 is denied by deny_addresses"),
        "{checked}"
    );
}

/// A program that is ended with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn serving(program: &str, folder: &Path, arguments: &[&str]) -> Running {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

/// Webhooks without a certificate, with a stranger's, and with a good one, for a server at that port.
pub(crate) fn three(world: &World, authority: &Authority, port: u16, more: &str) {
    world.write("ca.pem", authority.pem());
    for (name, of) in [("good", authority), ("stranger", &Authority::new())] {
        let (certificate, key) = of.client(|_| {});
        world.write(&format!("{name}.pem"), certificate);
        world.write(&format!("{name}.key"), key);
    }
    let of = |name: &str| {
        let hook = https(name, port).events(name);
        hook.line(pair(name)).line(more)
    };
    world.configure(&[
        https("none", port).events("none").line(more),
        of("stranger"),
        of("good"),
    ]);
}

/// Waits until somebody listens there.
pub(crate) fn wait_for(address: std::net::SocketAddr) {
    eventually("the server listens", SOON, || {
        let connected = std::net::TcpStream::connect(address);
        check(connected.is_ok(), || format!("{connected:?}"))
    });
}

fn rows(world: &World) -> Vec<Vec<String>> {
    world.wait_number("SELECT count(*) FROM log", 3, SOON);
    let columns =
        "webhook, coalesce(class, 'NULL'), coalesce(status, 'NULL'), coalesce(error, 'NULL')";
    world.log(&format!("SELECT {columns} FROM log ORDER BY webhook"))
}

#[test]
fn openssl_s_alerts_are_told_as_what_they_are() {
    if !need("openssl") {
        return;
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let authority = Authority::new();
        let world = World::new(&[]);
        let address = own_address();
        let (certificate, key) = authority.server(&address.ip().to_string());
        world.write("server.pem", certificate);
        world.write("server.key", key);
        three(&world, &authority, address.port(), "");
        let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
        world.write(
            "webhooks.toml",
            text.replace("127.0.0.1", &address.ip().to_string()),
        );
        let accept = address.to_string();
        let _server = serving(
            "openssl",
            world.folder(),
            &[
                "s_server",
                "-accept",
                &accept,
                version,
                "-cert",
                "server.pem",
                "-key",
                "server.key",
                "-CAfile",
                "ca.pem",
                "-Verify",
                "1",
                "-verify_return_error",
                "-quiet",
            ],
        );
        wait_for(address);
        let daemon = world.start();
        // It serves one at a time, and never answers whom it lets in.
        for (count, name) in (1..).zip(["none", "stranger", "good"]) {
            world.emit(name, "{}");
            world.wait_number("SELECT count(*) FROM log", count, SOON);
        }
        let rows = rows(&world);
        let [good, none, stranger] = <[_; 3]>::try_from(rows).unwrap();
        assert_eq!(good[1], "response-timeout", "{good:?}");
        assert_eq!(none[1], "client certificate", "{none:?}");
        assert!(none[3].contains("the webhook has none ("), "{none:?}");
        assert_eq!(stranger[1], "client certificate", "{stranger:?}");
        assert!(
            stranger[3].contains("does not accept our client certificate"),
            "{stranger:?}"
        );
        daemon.stop();
    }
}

#[test]
fn nginx_turns_away_by_a_page() {
    if !need("nginx") {
        return;
    }
    let authority = Authority::new();
    let world = World::new(&[]);
    let address = own_address();
    let host = address.ip().to_string();
    let (certificate, key) = authority.server(&host);
    world.write("server.pem", certificate);
    world.write("server.key", key);
    let lift = "dialect = \"openboxes-lift\"\nbatch = { max_events = 10 }";
    three(&world, &authority, address.port(), "");
    let text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    let text = text.replace("127.0.0.1", &host);
    let text = text.replace("dialect = \"bold-factory\"\nmax_attempts = 1", lift);
    world.write("webhooks.toml", text);
    let folder = world.folder().display().to_string();
    world.write("nginx.conf", format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nevents {{}}\n\
         http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         server {{ listen {address} ssl; ssl_certificate server.pem; ssl_certificate_key server.key;\n\
         ssl_client_certificate ca.pem; ssl_verify_client on; location / {{ return 200; }} }} }}\n"
    ));
    let _server = serving(
        "nginx",
        world.folder(),
        &["-p", &folder, "-c", "nginx.conf", "-e", "nginx.log"],
    );
    wait_for(address);
    let daemon = world.start();
    let outbox = world.outbox();
    for name in ["none", "stranger", "good"] {
        let insert = format!("INSERT INTO outbox (event, data) VALUES ('{name}', '{{}}')");
        let three = format!("BEGIN; {insert}; {insert}; {insert}; COMMIT");
        outbox.execute_batch(&three).unwrap();
    }
    world.wait_number("SELECT count(*) FROM log", 9, SOON);
    for row in
        world.log("SELECT webhook, class, status, error, outcome FROM log WHERE webhook <> 'good'")
    {
        assert_eq!(row[1..3], ["client certificate", "400"], "{row:?}");
        let words = match &*row[0] {
            "none" => "asks for a client certificate and the webhook has none (answered 400",
            _ => "does not accept our client certificate (answered 400",
        };
        assert!(
            row[3].contains(words) && !row[3].contains("split"),
            "{row:?}"
        );
    }
    assert_eq!(
        world.number("SELECT count(*) FROM log WHERE outcome = 'delivered'"),
        3
    );
    daemon.stop();
}
