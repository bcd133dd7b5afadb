//! Who may come in: the checks that keep web pages, other machines and other users out.
//!
//! Core: what a request says about itself in, let in or the reason not out. A page in the user's browser can reach every
//! port of the machine; it cannot read a file. So three things are asked: the name by which we were called must be an
//! address or `localhost` (a page that had its own name resolved to this machine, DNS rebinding, calls us by that name), no
//! page may be the caller (`Origin`, `Sec-Fetch-Site`), and the token from the file must be told. No answer ever carries a
//! CORS header.

use core::net::{IpAddr, SocketAddr};

use crate::private::Private;

/// What a request says about itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Knock<'a> {
    /// The `Host` header.
    pub host: Option<&'a str>,
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// The `Sec-Fetch-Site` header, which browsers set and pages cannot.
    pub fetch_site: Option<&'a str>,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `x-api-key` or `api-key` header, which some clients use instead.
    pub api_key: Option<&'a str>,
}

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// Call it by its address, or `localhost`.
    #[error("call the gateway by its address or as localhost, not by another name")]
    Host,
    /// Web pages are not served.
    #[error("web pages may not use the gateway")]
    Origin,
    /// Tell the token from the file.
    #[error(
        "the gateway's token is missing or wrong; send `Authorization: Bearer TOKEN` with the token from its file (`hark config show gateway`)"
    )]
    Token,
}

/// The door of one gateway.
#[derive(Debug)]
pub struct Door {
    listen: SocketAddr,
    token: Private<String>,
}

impl Door {
    /// For a gateway that listens there and knows this token.
    #[must_use]
    pub const fn new(listen: SocketAddr, token: Private<String>) -> Self {
        Self { listen, token }
    }

    /// Where it listens.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Whether the caller is no web page and calls us by our address; what anybody may ask then is only whether we are here.
    ///
    /// # Errors
    /// See [`Closed`].
    pub fn is_local_caller(&self, knock: &Knock<'_>) -> Result<(), Closed> {
        if !knock.host.is_some_and(|host| self.is_us(host)) {
            return Err(Closed::Host);
        }
        let from_page = knock
            .origin
            .is_some_and(|origin| !self.is_own_origin(origin));
        let cross_site = knock
            .fetch_site
            .is_some_and(|site| !matches!(site, "none" | "same-origin"));
        if from_page || cross_site {
            return Err(Closed::Origin);
        }
        Ok(())
    }

    /// Whether the caller may use the gateway.
    ///
    /// # Errors
    /// See [`Closed`].
    pub fn admits(&self, knock: &Knock<'_>) -> Result<(), Closed> {
        self.is_local_caller(knock)?;
        let bearer = knock.authorization.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let told = bearer.or(knock.api_key).unwrap_or_default();
        if equal(told.as_bytes(), self.token.as_str().as_bytes()) {
            Ok(())
        } else {
            Err(Closed::Token)
        }
    }

    fn is_us(&self, host: &str) -> bool {
        let (name, port) = split_port(host);
        if port.is_some_and(|port| port.parse() != Ok(self.listen.port())) {
            return false;
        }
        let name = name.trim_end_matches('.');
        if name.starts_with('[') != name.ends_with(']') {
            return false;
        }
        name.eq_ignore_ascii_case("localhost")
            || name
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>()
                .is_ok_and(|address| self.is_reached_at(address))
    }

    /// A loopback gateway is reached at loopback addresses only; one that listens to others at any.
    fn is_reached_at(&self, address: IpAddr) -> bool {
        address.is_loopback() || !self.listen.ip().is_loopback()
    }

    fn is_own_origin(&self, origin: &str) -> bool {
        origin
            .strip_prefix("http://")
            .is_some_and(|host| split_port(host).1.is_some() && self.is_us(host))
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// Takes the same time wherever the two differ.
fn equal(told: &[u8], token: &[u8]) -> bool {
    let mut difference = told.len() ^ token.len();
    for (at, byte) in token.iter().enumerate() {
        difference |= usize::from(byte ^ told.get(at).copied().unwrap_or(0));
    }
    difference == 0 && !token.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(listen: &str) -> Door {
        Door::new(listen.parse().expect("an address"), Private::from("secret"))
    }

    fn knock<'a>(host: &'a str, authorization: &'a str) -> Knock<'a> {
        Knock {
            host: Some(host),
            authorization: Some(authorization),
            ..Knock::default()
        }
    }

    #[test]
    fn who_calls_us_by_our_address_and_tells_the_token_may_come_in() {
        let door = door("127.0.0.1:7177");
        for host in [
            "127.0.0.1:7177",
            "localhost:7177",
            "[::1]:7177",
            "LOCALHOST",
            "localhost.:7177",
        ] {
            assert_eq!(door.admits(&knock(host, "Bearer secret")), Ok(()), "{host}");
            assert_eq!(door.admits(&knock(host, "bearer secret")), Ok(()), "{host}");
        }
        let by_key = Knock {
            host: Some("127.0.0.1:7177"),
            api_key: Some("secret"),
            ..Knock::default()
        };
        assert_eq!(door.admits(&by_key), Ok(()));
    }

    #[test]
    fn another_name_for_this_machine_is_refused_before_the_token_is_looked_at() {
        let door = door("127.0.0.1:7177");
        for host in [
            "evil.example:7177",
            "127.0.0.1.evil.example",
            "127.0.0.1:80",
            "192.168.1.4:7177",
            "localhost.evil.example",
            "",
            "[::1",
            "127.0.0.1:7177:7177",
        ] {
            assert_eq!(
                door.admits(&knock(host, "Bearer secret")),
                Err(Closed::Host),
                "{host}"
            );
        }
        let nameless = Knock {
            authorization: Some("Bearer secret"),
            ..Knock::default()
        };
        assert_eq!(door.admits(&nameless), Err(Closed::Host));
    }

    #[test]
    fn web_pages_are_refused_even_with_the_token() {
        let door = door("127.0.0.1:7177");
        let from = |origin, fetch_site| Knock {
            origin,
            fetch_site,
            ..knock("127.0.0.1:7177", "Bearer secret")
        };
        for origin in [
            "https://evil.example",
            "http://localhost:3000",
            "http://127.0.0.1",
            "null",
            "file://",
        ] {
            assert_eq!(
                door.admits(&from(Some(origin), None)),
                Err(Closed::Origin),
                "{origin}"
            );
        }
        assert_eq!(
            door.admits(&from(None, Some("cross-site"))),
            Err(Closed::Origin)
        );
        assert_eq!(
            door.admits(&from(None, Some("same-site"))),
            Err(Closed::Origin)
        );
        assert_eq!(
            door.admits(&from(Some("http://127.0.0.1:7177"), Some("same-origin"))),
            Ok(())
        );
    }

    #[test]
    fn a_wrong_token_is_refused_whatever_it_shares_with_the_right_one() {
        let door = door("127.0.0.1:7177");
        for told in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer secre",
            "Bearer secret2",
            "Basic secret",
            "secret",
        ] {
            assert_eq!(
                door.admits(&knock("127.0.0.1:7177", told)),
                Err(Closed::Token),
                "{told}"
            );
        }
    }

    #[test]
    fn a_gateway_that_listens_to_others_is_reached_at_any_address_but_by_no_name() {
        let door = door("0.0.0.0:7177");
        assert_eq!(
            door.admits(&knock("192.168.1.4:7177", "Bearer secret")),
            Ok(())
        );
        assert_eq!(
            door.admits(&knock("mac.lan:7177", "Bearer secret")),
            Err(Closed::Host)
        );
    }
}
