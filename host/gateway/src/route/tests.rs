use proptest::prelude::*;

use super::*;

#[test]
fn the_rpc_resolver_follows_micros_table() {
    for (path, service, endpoint) in [
        ("/foo", "foo", "Foo.Call"),
        ("/foo/", "foo", "Foo.Call"),
        ("/foo/bar", "foo", "Foo.Bar"),
        ("/foo/bar/baz", "foo", "Bar.Baz"),
        ("/foo/bar/baz/cat", "foo.bar", "Baz.Cat"),
        ("/v1/foo/bar", "v1.foo", "Foo.Bar"),
        ("/v1/foo/bar/baz", "v1.foo", "Bar.Baz"),
        ("/v1/foo/bar/baz/cat", "v1.foo.bar", "Baz.Cat"),
        ("/foo/bar/baz-xyz", "foo", "Bar.BazXyz"),
        ("/foo/fooBar/bazCat", "foo", "FooBar.BazCat"),
        ("//foo/./x/../bar", "foo", "Foo.Bar"),
    ] {
        assert_eq!(rpc_route(path), Some((service.to_owned(), endpoint.to_owned())), "{path}");
    }
    assert_eq!(rpc_route("/"), None);
}

#[test]
fn the_proxy_resolver_follows_micros_table() {
    for (path, service) in [
        ("/foo", Some("foo")),
        ("/foo/bar", Some("foo")),
        ("/greeter", Some("greeter")),
        ("/greeter/john", Some("greeter")),
        ("/v1/foo", Some("v1.foo")),
        ("/v2/foo/bar", Some("v2.foo")),
        ("/foo-bar/x", Some("foo-bar")),
        ("/", None),
        ("/foo--bar", None),
        ("/-foo", None),
        ("/f.oo/x", None),
        ("/%2e%2e/x", None),
    ] {
        assert_eq!(proxy_route(path).as_deref(), service, "{path}");
    }
}

proptest! {
    #[test]
    fn cleaning_leaves_nothing_to_clean(path in "[a-z./%]{0,40}") {
        let once = clean(&path);
        prop_assert!(once.starts_with('/'));
        prop_assert!(!once.split('/').any(|part| part == ".." || part == "."));
        prop_assert_eq!(clean(&once), once);
    }

    #[test]
    fn resolvers_take_any_path(path in "\\PC{0,60}") {
        let _ = rpc_route(&path);
        if let Some(alias) = proxy_route(&path) {
            prop_assert!(!alias.contains("--") && !alias.contains('/'));
        }
    }
}
