//! What the sweep for secrets runs in: webhooks with marked secrets, and the pile that is searched.
//!
//! Each webhook meets another fate: success, an error, a reset, silence, no HTTP, a redirect, nobody
//! there, no name, no TLS, a certificate of nobody. The pile keeps every text with where it came from,
//! and looks for the marks in the forms in which bytes get printed.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::support::{
    Answer, Authority, Daemon, Hook, Receiver, World, bound_port, hmac_hex, hook, own_address,
};

/// In every secret and header's value; never to be seen.
const SECRET: &str = "kept-close";

/// In paths and queries of URLs: seen where the URL stands, which is the log and who shows it.
const TOKEN: &str = "token-in-url";

const PROXY_FILE: &str = "proxy_secret_file = 'proxy.key'";

const KEY_FILE: &str = "client_key_file = 'client.key'";

/// Where URLs are shown: the log and its files, `logs`, what is tried out, and errors about the line.
const SHOWS_URLS: [&str; 8] = [
    "the page /deliveries/",
    "log.db",
    "[\"logs\"",
    "[\"test\"",
    "/test",
    "broken file",
    "attempt.url",
    "text.text",
];

/// The world of the sweep.
pub(super) struct Scene {
    pub(super) world: World,
    /// Names of all webhooks.
    pub(super) names: Vec<&'static str>,
    receivers: Vec<Receiver>,
    metrics: SocketAddr,
    credentials: PathBuf,
    /// Of the client certificate's key.
    key: Vec<u8>,
    _refusing: tokio::net::TcpSocket,
}

fn answer(name: &str) -> Answer {
    match name {
        "failing" => Answer::with_body(503, "X-Why: overload\r\n", b"not now"),
        "reset" => Answer::Reset,
        "silent" => Answer::Silence,
        "garbage" => Answer::Last(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
        "redirect" => Answer::with_body(302, "Location: http://127.0.0.1:1/\r\n", b""),
        _ => Answer::status(200),
    }
}

/// A webhook for each, with secrets from each of their homes.
fn hooks(urls: &[(&'static str, String)], through: &str) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (at, (name, url)) in urls.iter().enumerate() {
        let home = match at % 4 {
            0 => format!("secret = '{SECRET}-inline'"),
            1 => "secret_env = 'SCENE_SECRET'".to_owned(),
            2 => "secret_file = 'beside.key'".to_owned(),
            _ => "secret_file = 'credential.key'".to_owned(),
        };
        let shows = match *name {
            "mutual" => {
                format!("ca_file = 'ca.pem'\nclient_cert_file = 'client.pem'\n{KEY_FILE}")
            }
            "proxied" | "untunnelled" => through.to_owned(),
            _ => String::new(),
        };
        let hook = hook(name, url).one_attempt().line(home).line(shows);
        hooks.push(hook.line(format!(
            "headers = {{ Authorization = 'Bearer {SECRET}-bearer', Cookie = 'a={SECRET}-cookie', X-Team = '{SECRET}-custom' }}"
        )).line("standard_webhooks = { secret_file = 'standard.key', previous_secret_file = 'previous.key' }"));
    }
    hooks
}

fn write_secrets(world: &World) {
    world.write("beside.key", format!("{SECRET}-beside\n"));
    world.write("standard.key", format!("{SECRET}-standard\n"));
    world.write("previous.key", format!("{SECRET}-previous\n"));
    world.write("proxy.key", format!("{SECRET}-user:{SECRET}-password\n"));
    world.write("no-colon.key", format!("{SECRET}-alone\n"));
    world.write(
        "two-lines.key",
        format!("{SECRET}-user:{SECRET}\n{SECRET}-password\n"),
    );
    world.write("url-safe.key", format!("whsec_{SECRET}"));
}

impl Scene {
    pub(super) fn new() -> Self {
        let (refusing, refused) = bound_port();
        let metrics = own_address();
        let mut urls = Vec::new();
        let mut receivers = Vec::new();
        let path = format!("/{TOKEN}?key={TOKEN}");
        for name in ["good", "failing", "reset", "silent", "garbage", "redirect"] {
            let receiver = Receiver::start(move |_| answer(name));
            urls.push((name, receiver.url(&path)));
            receivers.push(receiver);
        }
        let tls = Receiver::tls(Authority::new().acceptor("localhost"));
        urls.push((
            "untrusted",
            format!("https://localhost:{}{path}", tls.port()),
        ));
        urls.push((
            "no-tls",
            format!("https://127.0.0.1:{}{path}", receivers[0].port()),
        ));
        urls.push(("refused", format!("http://127.0.0.1:{refused}{path}")));
        urls.push(("nameless", format!("http://nobody.invalid{path}")));
        receivers.push(tls);
        let authority = Authority::new();
        let asks = Receiver::tls(authority.asking("127.0.0.1"));
        urls.push(("mutual", format!("https://127.0.0.1:{}{path}", asks.port())));
        receivers.push(asks);
        let proxy = Receiver::start(|request| {
            let is_tunnel = request.lines()[0].starts_with("CONNECT ");
            Answer::status(if is_tunnel { 407 } else { 200 })
        });
        let through = format!("proxy = '{}'\n{PROXY_FILE}", proxy.url(""));
        urls.push(("proxied", format!("http://inside.invalid{path}")));
        urls.push(("untunnelled", format!("https://inside.invalid{path}")));
        receivers.push(proxy);
        let hooks = hooks(&urls, &through);
        let world = World::new(&hooks);
        let more = format!("\n[socket]\npath = \"s.sock\"\n\n[metrics]\nlisten = \"{metrics}\"");
        world.configure_with(&more, &hooks);
        let key = write_pair(&world, &authority);
        write_secrets(&world);
        let credentials = world.path("credentials");
        std::fs::create_dir(&credentials).unwrap();
        world.write(
            "credentials/credential.key",
            format!("{SECRET}-credential\n"),
        );
        Self {
            names: urls.iter().map(|(name, _)| *name).collect(),
            world,
            receivers,
            metrics,
            credentials,
            key,
            _refusing: refusing,
        }
    }

    /// What the service's environment would be, with a wish for more journal than there is.
    pub(super) fn environment(&self) -> Vec<(&'static str, &OsStr)> {
        vec![
            ("SCENE_SECRET", OsStr::new("kept-close-variable")),
            ("CREDENTIALS_DIRECTORY", self.credentials.as_os_str()),
            ("RUST_LOG", OsStr::new("trace")),
            ("RUST_BACKTRACE", OsStr::new("full")),
        ]
    }

    pub(super) fn started(&self) -> Daemon {
        let mut daemon = self.world.spawn_behind(&[], &[], &self.environment());
        daemon.wait_ready();
        daemon
    }

    /// The page of metrics, over TCP.
    pub(super) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(page.contains("webhooksd_attempts_total"), "{page}");
        page
    }

    /// Configurations that are wrong near a secret, or because of one.
    pub(super) fn broken(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.world.path("webhooks.toml")).unwrap();
        let inline = format!("secret = '{SECRET}-inline'");
        let with = |new: &str| text.replacen(&inline, new, 1);
        let url = self.receivers[0].url("/");
        let userinfo = url.replacen("http://", &format!("http://u:{SECRET}@"), 1);
        vec![
            with(&format!("secret = '{SECRET}-inline")),
            with(&format!("secret = {SECRET}")),
            with(&format!("secret = ['{SECRET}']")),
            with(&format!("{inline}\nsecret_file = 'beside.key'")),
            with(&format!("secert = '{SECRET}'")),
            with(&format!("secret_env = '{SECRET}'")),
            with(&format!("secret_env = 'no {SECRET}'")),
            with("secret_file = 'no-such.key'\nbogus = 1"),
            with(&format!("{inline}\n{inline}")),
            with(&format!("{inline} oops")),
            text.replacen(KEY_FILE, "client_key_file = 'torn.key'", 1),
            text.replacen(KEY_FILE, "client_key_file = 'encrypted.key'", 1),
            text.replacen(KEY_FILE, "client_key_file = 'several.key'", 1),
            text.replacen(KEY_FILE, "client_key_file = 'other.key'", 1),
            text.replacen(
                KEY_FILE,
                &format!("client_key_file = 'no.key'\nclient_key = '{SECRET}'"),
                1,
            ),
            with(&format!("secret = '{}'", SECRET.repeat(500))),
            with(&format!("{inline}\npassword = '{SECRET}'")),
            text.replacen(
                &format!("Bearer {SECRET}-bearer"),
                &format!("{SECRET}\u{e4}"),
                1,
            ),
            text.replacen("Cookie = ", &format!("'{SECRET} ' = "), 1),
            text.replacen("Cookie = ", "Host = ", 1),
            text.replacen("X-Team = ", "X-Team = 1, X-Other = ", 1),
            text.replacen("X-Team = ", "cookie = ", 1),
            text.replacen("'proxy.key'", "'no-colon.key'", 1),
            text.replacen("'proxy.key'", "'two-lines.key'", 1),
            text.replacen(
                "proxy = 'http://",
                &format!("proxy = 'http://u:{SECRET}@"),
                1,
            ),
            text.replacen(PROXY_FILE, &format!("proxy_secret = '{SECRET}'"), 1),
            text.replacen("'standard.key'", "'url-safe.key'", 1),
            text.replacen("'previous.key'", "'empty.key'", 1),
            text.replacen(&url, &format!("{userinfo}?"), 1),
            text.replacen("[log]", &format!("[logs]\nsecret = '{SECRET}'\n[log]"), 1),
        ]
    }

    /// Holds that the key of the client certificate is nowhere, and was in use.
    #[track_caller]
    pub(super) fn key_is_kept(&self, pile: &Pile) {
        let told = pile.telling(&self.key);
        assert!(told.is_empty(), "the client key is told by {told:#?}");
        let delivered =
            "SELECT count(*) FROM log WHERE webhook = 'mutual' AND outcome = 'delivered'";
        assert!(self.world.number(delivered) > 0);
    }

    /// Holds that what the endpoints got was signed and had its headers: the marks were in use.
    pub(super) fn wire_had_them(&self) {
        let homes = ["inline", "variable", "beside", "credential"];
        for (at, receiver) in self.receivers.iter().take(4).enumerate() {
            let request = receiver.received().remove(0);
            let authorization = format!("Bearer {SECRET}-bearer");
            assert_eq!(request.header("Authorization"), Some(&*authorization));
            let secret = format!("{SECRET}-{}", homes[at]);
            let signature = hmac_hex(&secret, &request.body);
            assert_eq!(
                request.header("X-Bold-Signature"),
                Some(&*signature),
                "{secret}"
            );
        }
        let proxy = self.receivers.last().unwrap();
        let proxied = proxy.received();
        let of = |start: &str| {
            let mut all = proxied.iter();
            let request = all
                .find(|request| request.lines()[0].starts_with(start))
                .unwrap();
            request.header("Proxy-Authorization").unwrap().to_owned()
        };
        let pair = crate::support::base64(format!("{SECRET}-user:{SECRET}-password").as_bytes());
        for start in ["POST http://inside.invalid", "CONNECT inside.invalid:443"] {
            assert_eq!(of(start), format!("Basic {pair}"));
        }
        let masked = "SELECT count(*) FROM log WHERE request_headers LIKE
            '%Authorization: [redacted]%Cookie: [redacted]%X-Team: [redacted]'";
        let all = self.world.number("SELECT count(*) FROM log");
        assert!(all > 0);
        assert_eq!(self.world.number(masked), all, "names stay, values don't");
    }
}

/// Writes a client certificate, its key, and keys that are of no use, each with a mark; some bytes of the good one.
fn write_pair(world: &World, authority: &Authority) -> Vec<u8> {
    let (certificate, key) = authority.client(|_| {});
    world.write("ca.pem", authority.pem());
    world.write("client.pem", certificate);
    world.write("client.key", format!("{SECRET}-comment\n{key}"));
    world.write(
        "other.key",
        format!("{SECRET}-comment\n{}", authority.client(|_| {}).1),
    );
    let pem = |label: &str| format!("-----BEGIN {label}-----\n{SECRET}\n-----END {label}-----\n");
    world.write("torn.key", pem("PRIVATE KEY"));
    world.write("encrypted.key", pem("ENCRYPTED PRIVATE KEY"));
    world.write("several.key", pem("PRIVATE KEY") + &pem("EC PRIVATE KEY"));
    let der = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
    // The secret number of a key on P-256 begins there.
    der.secret_pkcs8_der()[36..48].to_vec()
}

/// Everything that came out, with where it came from.
#[derive(Default)]
pub(super) struct Pile(Vec<(String, Vec<u8>)>);

impl Pile {
    pub(super) fn add(&mut self, origin: &str, bytes: &(impl AsRef<[u8]> + ?Sized)) {
        self.0.push((origin.to_owned(), bytes.as_ref().to_vec()));
    }

    /// What a command prints, which must not be a panic.
    pub(super) fn add_command(
        &mut self,
        world: &World,
        words: &[&str],
        environment: &[(&str, &OsStr)],
    ) {
        let ended = world.command_behind(&[], words, environment);
        assert!(
            matches!(ended.code, Some(0..=2)),
            "{words:?}: {:?}\n{}",
            ended.code,
            ended.stderr
        );
        self.add(&format!("{words:?}"), &(ended.stdout + &ended.stderr));
    }

    /// Every file of the folder but those that the user wrote secrets into.
    pub(super) fn add_folder(&mut self, world: &World) {
        for entry in std::fs::read_dir(world.folder()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let own = name == "webhooks.toml" || name.ends_with(".key");
            if path.is_file() && !own {
                self.add(&name, &std::fs::read(&path).unwrap());
            }
        }
    }

    /// Every column of every table of the log.
    pub(super) fn add_log(&mut self, world: &World) {
        let tables = world.log("SELECT name FROM sqlite_schema WHERE type = 'table'");
        for table in tables.concat() {
            let columns = world.log(&format!("SELECT name FROM pragma_table_info('{table}')"));
            for column in columns.concat() {
                let rows = world.log(&format!("SELECT \"{column}\" FROM \"{table}\""));
                self.add(&format!("{table}.{column}"), &rows.concat().join("\n"));
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Holds that no mark is in it, and that the search finds what is there.
    #[track_caller]
    pub(super) fn hold(&self) {
        let told = self.telling(SECRET.as_bytes());
        assert!(told.is_empty(), "secrets are told by {told:#?}");
        let told: Vec<_> = self
            .telling(TOKEN.as_bytes())
            .into_iter()
            .filter(|origin| !SHOWS_URLS.iter().any(|shows| origin.contains(shows)))
            .collect();
        assert!(told.is_empty(), "tokens of URLs are told by {told:#?}");
        assert!(!self.telling(b"no-such-webhook").is_empty() || self.count() < 10);
    }

    /// Which texts hold the mark in one form or another.
    fn telling(&self, mark: &[u8]) -> Vec<&str> {
        let forms = forms(mark);
        let tells = |bytes: &[u8]| {
            let lower = bytes.to_ascii_lowercase();
            forms
                .iter()
                .any(|form| contains(bytes, form) || contains(&lower, form))
        };
        let telling = self.0.iter().filter(|(_, bytes)| tells(bytes));
        telling.map(|(origin, _)| &**origin).collect()
    }
}

fn contains(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

/// The bytes as they are, in hex, as a list of numbers, and in base64 at each of its three alignments
/// less the digits that neighbours share.
fn forms(mark: &[u8]) -> Vec<Vec<u8>> {
    let mut hex = String::new();
    for byte in mark {
        write!(hex, "{byte:02x}").unwrap();
    }
    let list: Vec<String> = mark.iter().map(u8::to_string).collect();
    let mut forms = vec![
        mark.to_vec(),
        hex.into_bytes(),
        list.join(", ").into_bytes(),
    ];
    for skip in 0..3 {
        let whole = (mark.len() - skip) / 3 * 3;
        forms.push(base64(&mark[skip..skip + whole]));
    }
    forms
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for three in bytes.chunks_exact(3) {
        let bits = three
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(DIGITS[bits >> shift & 63]);
        }
    }
    text
}

#[test]
fn the_search_knows_the_forms() {
    let mut pile = Pile::default();
    pile.add("raw", "x kept-close y");
    pile.add("upper", "KEPT-CLOSE");
    pile.add("hex", "6b6570742d636c6f7365");
    pile.add("list", &format!("{:?}", b"-kept-close"));
    for (name, text) in [
        ("a", "kept-close--"),
        ("b", "-kept-close-"),
        ("c", "--kept-close"),
    ] {
        pile.add(name, &base64(text.as_bytes()));
    }
    pile.add("nothing", "kept and close");
    assert_eq!(
        pile.telling(SECRET.as_bytes()),
        ["raw", "upper", "hex", "list", "a", "b", "c"]
    );
}
