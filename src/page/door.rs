//! Who is let in: whoever has the address that was printed, and then this browser by a cookie.
//!
//! The token leaves the address at once, so that no history or screenshot has it for long. It is answered by
//! a 200 with the cookie and a page that goes on: a cookie that comes with a redirect is lost where the link
//! was clicked on another host's page, for SameSite=Strict looks at the whole chain. The cookie's name has
//! something of the run, since browsers send a cookie to every port of a host. It has no `Secure`: over
//! http on loopback not every browser would keep it.

use hyper::HeaderMap;
use hyper::header::COOKIE;

use crate::dialect::derived;
use crate::model::Secret;

/// Bytes of chance that a door is made from: the cookie's name, its value and the token.
pub(crate) const CHANCE_BYTES: usize = 4 + 16 + 16;

/// What has to be shown to be let in; good for one run.
pub(crate) struct Door {
    name: String,
    session: String,
    token: String,
    /// The token is in a file, and good for every run.
    is_kept: bool,
}

impl Door {
    /// The door of a token that is kept in a file. `run` is told apart from other runs by it.
    #[must_use]
    pub(crate) fn of(token: &Secret, run: &str) -> Self {
        let hex = derived(token, &format!("the name of the page's cookie, {run}"));
        Self {
            name: format!("webhooksd-{}", hex.chars().take(8).collect::<String>()),
            session: derived(token, &format!("the page's cookie, {run}")),
            token: String::from_utf8_lossy(token.bytes()).into_owned(),
            is_kept: true,
        }
    }

    /// Whether it is the door of that token.
    #[must_use]
    pub(crate) fn is_of(&self, token: &Secret) -> bool {
        is_same(&String::from_utf8_lossy(token.bytes()), &self.token)
    }

    /// Whether who stands outside may type the token.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// What is wrong with another token.
    pub(super) fn wrong(&self) -> &'static str {
        if self.is_kept {
            "this is not the token that [page] token_file holds"
        } else {
            "this token is of another run of `webhooksd page`; use the address that the running one has printed"
        }
    }

    /// Why somebody is not let in.
    pub(super) fn outside(&self) -> &'static str {
        if self.is_kept {
            "this browser has not been let in: the token is the text of [page] token_file"
        } else {
            "this browser has not been let in: open the address, with its token, that `webhooksd page` has printed"
        }
    }

    /// A door made from chance.
    #[must_use]
    pub(crate) fn new(chance: &[u8; CHANCE_BYTES]) -> Self {
        let hex = |bytes: &[u8]| {
            let mut text = String::with_capacity(2 * bytes.len());
            for byte in bytes {
                text.push_str(&format!("{byte:02x}"));
            }
            text
        };
        let (name, rest) = chance.split_at(4);
        let (session, token) = rest.split_at(16);
        Self {
            name: format!("webhooksd-{}", hex(name)),
            session: hex(session),
            token: hex(token),
            is_kept: false,
        }
    }

    /// The token, for the address that is printed.
    #[must_use]
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Whether that is the token.
    pub(super) fn opens(&self, token: &str) -> bool {
        is_same(token, &self.token)
    }

    /// Whether a request has this run's cookie.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(COOKIE).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        let mut cookies = lines.flat_map(|line| line.split(';'));
        cookies.any(|cookie| {
            cookie
                .trim()
                .split_once('=')
                .is_some_and(|(name, value)| name == self.name && is_same(value, &self.session))
        })
    }

    /// The value of `Set-Cookie`.
    pub(super) fn cookie(&self) -> String {
        let Self { name, session, .. } = self;
        format!("{name}={session}; HttpOnly; SameSite=Strict; Path=/")
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn is_same(said: &str, own: &str) -> bool {
    let differences = said.bytes().zip(own.bytes());
    said.len() == own.len() && differences.fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_token_is_in_nothing_that_a_browser_keeps() {
        let token = Secret::new(*b"a token of some length");
        let door = Door::of(&token, "run 1");
        assert!(door.opens("a token of some length") && door.is_of(&token));
        assert!(!door.cookie().contains("token of"), "{}", door.cookie());
        let other = Door::of(&token, "run 2");
        assert_ne!(door.cookie(), other.cookie());
        assert_ne!(door.name, other.name);
        let renewed = Secret::new(*b"another token");
        assert!(
            !door.is_of(&renewed) && !Door::of(&renewed, "run 1").opens("a token of some length")
        );
    }

    #[test]
    fn only_this_runs_cookie_and_token_open() {
        let bytes = |from: u8| std::array::from_fn(|place| from + u8::try_from(place).unwrap());
        let [door, other] = [1, 101].map(|from| Door::new(&bytes(from)));
        assert!(door.opens(door.token()) && !door.opens(other.token()) && !door.opens(""));
        let (pair, attributes) = door.cookie().split_once(';').map_or_else(
            || panic!("no attributes"),
            |(pair, rest)| (pair.to_owned(), rest.to_owned()),
        );
        assert!(!pair.contains(door.token()), "the token is in no cookie");
        assert_eq!(attributes, " HttpOnly; SameSite=Strict; Path=/");
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, value.parse().unwrap());
            headers
        };
        assert!(door.admits(&with(&format!("a=b; {pair}"))));
        for wrong in [
            "",
            "a",
            &pair.replace('=', "=0"),
            &pair.to_uppercase(),
            &other.cookie(),
        ] {
            assert!(!door.admits(&with(wrong)), "{wrong}");
        }
    }
}
