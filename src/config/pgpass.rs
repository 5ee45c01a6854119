//! The file of passwords that libpq's users know: `PGPASSFILE`, or `~/.pgpass`.
//!
//! Lines of `host:port:database:user:password`, where `*` is anything and `\` takes the next character as it
//! is. The first line that fits counts. Left out: libpq's refusal of files that others may read, for the
//! unit's own rights are what keeps them out.

use std::path::Path;

use super::Surroundings;
use crate::model::{Secret, Server};

/// The password of the first host for which there is one.
pub(super) fn find(server: &Server, around: &Surroundings<'_>) -> Option<Secret> {
    let named = (around.env)("PGPASSFILE").filter(|path| !path.is_empty());
    let path = match named {
        Some(path) => Path::new(&path).to_owned(),
        None => Path::new(&(around.env)("HOME").filter(|home| !home.is_empty())?).join(".pgpass"),
    };
    let bytes = (around.read)(&path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let user = server
        .user
        .clone()
        .or_else(|| (around.env)("USER")?.into_string().ok())?;
    let database = server.database.as_deref().unwrap_or(&user);
    server.hosts.iter().find_map(|host| {
        // libpq looks a Unix socket up under the name of this machine.
        let name = if host.host.starts_with('/') {
            "localhost"
        } else {
            &host.host
        };
        password(&text, [name, &host.port.to_string(), database, &user])
    })
}

fn password(text: &str, wanted: [&str; 4]) -> Option<Secret> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.find_map(|line| {
        let fields = fields(line)?;
        let fits = fields
            .iter()
            .zip(wanted)
            .all(|(field, is)| field == "*" || field == is);
        fits.then(|| Secret::new(fields[4].as_bytes()))
    })
}

/// The five fields of a line.
fn fields(line: &str) -> Option<[String; 5]> {
    let mut fields: [String; 5] = Default::default();
    let (mut at, mut chars) = (0, line.chars());
    while let Some(c) = chars.next() {
        match c {
            ':' if at < 4 => at += 1,
            '\\' => fields[at].extend(chars.next()),
            c => fields[at].push(c),
        }
    }
    (at == 4 && !fields[4].is_empty()).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text =
            "# db:5432:app:w:no\ndb:5433:*:w:other\n*:*:app:w:a\\:b\\\\c:d\n*:*:*:*:last\nbroken\n";
        let of = |wanted| password(text, wanted).map(|secret| secret.bytes().to_vec());
        assert_eq!(of(["db", "5433", "x", "w"]).unwrap(), b"other");
        assert_eq!(of(["db", "5432", "app", "w"]).unwrap(), b"a:b\\c:d");
        assert_eq!(of(["h", "1", "y", "z"]).unwrap(), b"last");
        assert_eq!(password("h:1:d:u:\n", ["h", "1", "d", "u"]), None);
    }
}
