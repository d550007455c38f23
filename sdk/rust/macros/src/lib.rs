//! Attributes of `micro-sdk`, which documents them.

mod section;

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::{quote, quote_spanned};
use syn::visit_mut::{VisitMut, visit_type_mut};
use syn::{FnArg, ItemFn, Lifetime, ReturnType, Type, parse_macro_input, parse_quote};

/// Makes an `async fn` a test that runs on the in-memory platform.
#[proc_macro_attribute]
pub fn test(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut function = parse_macro_input!(item as ItemFn);
    if function.sig.asyncness.take().is_none() {
        return error(&function, "use it on an async fn");
    }
    let body = &function.block;
    function.block = parse_quote!({ ::micro_sdk::test::block_on(async move #body) });
    quote!(#[::core::prelude::v1::test] #function).into()
}

/// Makes an `async fn` a wrapper for handlers (`ctx`, `request`, `next`) or clients (`request`, `next`).
#[proc_macro_attribute]
pub fn wrapper(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut function = parse_macro_input!(item as ItemFn);
    if function.sig.asyncness.take().is_none() {
        return error(&function, "use it on an async fn");
    }
    let ReturnType::Type(_, output) = &function.sig.output else {
        return error(&function, "a wrapper returns Result<Vec<u8>, Error>");
    };
    let (output, body) = (output.clone(), function.block.clone());
    for input in &mut function.sig.inputs {
        if let FnArg::Typed(argument) = input {
            Elided.visit_type_mut(&mut argument.ty);
        }
    }
    function.sig.generics.params.push(parse_quote!('micro));
    function.sig.output = parse_quote!(-> ::micro_sdk::LocalFuture<'micro, #output>);
    function.block = parse_quote!({ ::std::boxed::Box::pin(async move #body) });
    quote!(#function).into()
}

/// Lets a topic's messages call this method of a handler, as a `[[subscribe]]` of `micro.toml` does.
#[proc_macro_attribute]
pub fn subscribe(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(&section::SUBSCRIBE, arguments, item)
}

/// Lets a topic's events call this method of a handler, as a `[[consume]]` of `micro.toml` does.
#[proc_macro_attribute]
pub fn consume(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(&section::CONSUME, arguments, item)
}

/// Lets the platform call this method of a handler at set times, as a `[[schedule]]` of `micro.toml` does.
#[proc_macro_attribute]
pub fn schedule(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(&section::SCHEDULE, arguments, item)
}

fn expand(section: &section::Section, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = section.expand(arguments.into(), item.into());
    expanded.unwrap_or_else(|error| error.to_compile_error()).into()
}

/// The files that the build script embedded from `html`, for `web!`: none without it.
///
/// The platform reads in the section that they are there, and says so in the service's log.
#[doc(hidden)]
#[proc_macro]
pub fn __html(_arguments: TokenStream) -> TokenStream {
    // Set by the build script for this compilation alone: what an earlier one left in OUT_DIR does not count.
    let Ok(list) = std::env::var("MICRO_EMBEDDED_HTML") else {
        return quote!(&[]).into();
    };
    quote!({
        #[unsafe(link_section = "micro:static")]
        #[used]
        static FOLDER: [u8; 5] = *b"html\n";
        include!(#list)
    })
    .into()
}

fn error(function: &ItemFn, text: &str) -> TokenStream {
    let span = function.sig.ident.span();
    quote_spanned!(span => ::core::compile_error!(#text);).into()
}

/// Gives every elided lifetime the name `'micro`.
struct Elided;

impl VisitMut for Elided {
    fn visit_type_mut(&mut self, node: &mut Type) {
        if let Type::Reference(reference) = node
            && reference.lifetime.is_none()
        {
            reference.lifetime = Some(Lifetime::new("'micro", Span::call_site()));
        }
        visit_type_mut(self, node);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            *lifetime = Lifetime::new("'micro", Span::call_site());
        }
    }
}
