use http::HeaderName;

use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

fn found(lines: &[(&str, &str)], host: &str, scheme: Scheme) -> Option<(String, bool)> {
    find(&headers(lines), host, scheme).unwrap().map(|sent| (sent.token, sent.by_cookie))
}

#[test]
fn a_bearer_token_is_found_and_every_other_scheme_refused() {
    for given in ["Bearer abc", "bearer abc", "BEARER  abc "] {
        let found = found(&[("authorization", given)], "localhost", Scheme::Http);
        assert_eq!(found, Some(("abc".to_owned(), false)), "{given}");
    }
    for given in ["Basic dXNlcjpw", "Bearer", "Bearer ", "abc", "", "Bearerabc", "Bearer\tabc"] {
        let error = find(&headers(&[("authorization", given)]), "localhost", Scheme::Http).unwrap_err();
        assert_eq!(error.code, 401, "{given}");
        assert_eq!(error.detail, "invalid authorization header. expected Bearer schema");
    }
    let two = headers(&[("authorization", "Bearer abc"), ("authorization", "Bearer abc")]);
    assert_eq!(find(&two, "localhost", Scheme::Http).unwrap_err().code, 401);
}

#[test]
fn the_cookie_counts_only_from_its_own_origin() {
    let cookie = ("cookie", "a=b; micro-token=abc; c=d");
    let host = "acme.localhost:8080";
    let taken = Some(("abc".to_owned(), true));
    for (said, wanted) in [
        (vec![("sec-fetch-site", "same-origin")], &taken),
        (vec![("sec-fetch-site", "none")], &taken),
        (vec![("sec-fetch-site", "same-origin"), ("origin", "http://acme.localhost:8080")], &taken),
        (vec![("origin", "http://acme.localhost:8080")], &taken),
        (vec![("origin", "http://ACME.localhost:8080")], &taken),
        (vec![], &None),
        (vec![("sec-fetch-site", "same-site")], &None),
        (vec![("sec-fetch-site", "cross-site")], &None),
        (vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], &None),
        (vec![("sec-fetch-site", "same-origin"), ("origin", "http://other.localhost:8080")], &None),
        (vec![("sec-fetch-site", "cross-site"), ("origin", "http://acme.localhost:8080")], &None),
        // A page of another program on the same machine: cookies ignore ports, origins do not.
        (vec![("origin", "http://acme.localhost:3000")], &None),
        (vec![("origin", "http://acme.localhost")], &None),
        (vec![("origin", "http://other.localhost:8080")], &None),
        (vec![("origin", "null")], &None),
        (vec![("referer", "http://acme.localhost:8080/")], &None),
    ] {
        let lines: Vec<_> = said.into_iter().chain([cookie]).collect();
        assert_eq!(found(&lines, host, Scheme::Http), *wanted, "{lines:?}");
    }
    let safe = [cookie, ("origin", "https://acme.example.com")];
    let unsafe_page = [cookie, ("origin", "http://acme.example.com")];
    for host in ["acme.example.com", "acme.example.com:443"] {
        assert_eq!(found(&safe, host, Scheme::Https), taken, "{host}");
    }
    assert_eq!(found(&safe, "acme.example.com", Scheme::Http), taken);
    assert_eq!(found(&unsafe_page, "acme.example.com", Scheme::Https), None);
}

#[test]
fn a_cookie_that_is_there_twice_is_none() {
    let own = ("sec-fetch-site", "same-origin");
    for lines in [
        &[own, ("cookie", "micro-token=abc; micro-token=def")][..],
        &[own, ("cookie", "micro-token=abc"), ("cookie", "micro-token=abc")],
        &[own, ("cookie", "micro-token=")],
        &[own, ("cookie", "Micro-Token=abc")],
        &[own, ("cookie", "xmicro-token=abc")],
    ] {
        assert_eq!(found(lines, "localhost", Scheme::Http), None, "{lines:?}");
    }
    let both = [own, ("cookie", "micro-token=abc"), ("authorization", "Bearer key")];
    assert_eq!(found(&both, "localhost", Scheme::Http), Some(("key".to_owned(), false)));
}

#[test]
fn a_service_sees_no_credential_and_all_other_cookies() {
    let mut given = headers(&[
        ("authorization", "Bearer abc"),
        ("authorization", "Basic abc"),
        ("proxy-authorization", "Basic abc"),
        ("cookie", "a=1; micro-token=abc;micro-session=s ; b=micro-token"),
        ("cookie", "__Host-micro-session=s; micro-oidc=s; __Host-micro-oidc=s"),
        ("cookie", "MICRO-TOKEN=x; =micro-token=x; micro-session; micro-token =x; micro-account-redirect=/"),
        ("cookie", "micro-tokens=mine; __host-micro-session=s"),
        ("accept", "*/*"),
    ]);
    strip(&mut given);
    let cookies: Vec<_> = given.get_all("cookie").iter().map(|line| line.to_str().unwrap()).collect();
    assert_eq!(cookies, ["a=1; b=micro-token", "micro-tokens=mine"]);
    assert_eq!(given.len(), 3, "{given:?}");
    let mut untouched = headers(&[("cookie", "a=1;b=2")]);
    strip(&mut untouched);
    assert_eq!(untouched["cookie"], "a=1;b=2");
}

#[test]
fn a_service_sets_only_cookies_of_its_own() {
    let kept = |cookie: &str, host: &str| {
        let mut answer = headers(&[("set-cookie", cookie), ("micro-id", "x"), ("micro-Anything", "x")]);
        strip_answer(&mut answer, host, "example.com");
        assert!(!answer.keys().any(|name| name.as_str().starts_with("micro-")));
        answer.contains_key("set-cookie")
    };
    let host = "acme.example.com:8080";
    for good in [
        "a=b",
        "a=micro-token; Path=/; HttpOnly",
        "a=b; Domain=acme.example.com",
        "a=b; domain=.ACME.example.com ; Secure",
        "a=b; Domain=",
        "a=b; Domain=x.acme.example.com",
        "domain=example.com",
    ] {
        assert!(kept(good, host), "{good}");
    }
    for bad in [
        "micro-token=x",
        " Micro-Token =x; Path=/",
        "=micro-token=x",
        "= micro-session",
        "micro-session",
        "__Host-micro-session=x; Secure; Path=/",
        "micro-account-redirect=https://evil.example",
        "a=b; Domain=example.com",
        "a=b; Domain=.com",
        "a=b; DOMAIN = example.com ;Path=/",
        "a=b; Domain=acme.example.com; Domain=example.com",
        "a=b; Domain=xacme.example.com",
        "a=b; Domain=other.example.com",
    ] {
        assert!(!kept(bad, host), "{bad}");
    }
    // All namespaces are below the content domain.
    assert!(!kept("a=b; Domain=example.com", "example.com"));
    assert!(kept("a=b", "example.com"));
}
