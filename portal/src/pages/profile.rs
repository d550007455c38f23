//! `/settings/profile`: name, e-mail address, password, second factor, and the end of the account.

use micro_api::person::{ChangeEmail, ChangePassword, ChangeProfile, DeleteMe, TotpCode, TotpSecret};
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::{Value, json};

use super::signup::{email_problem, password_problem};
use super::{Answer, see};
use crate::cookie;
use crate::error::mendable;
use crate::form::{Filled, Form};
use crate::session::Person;

pub(crate) async fn show(person: Person) -> Answer {
    page(&person, &Filled::default(), json!({}))
}

fn page(person: &Person, filled: &Filled, more: Value) -> Answer {
    let mut content = json!({ "form": filled, "tab": "profile", "codes_sent": false, "totp": null });
    if let (Value::Object(content), Value::Object(more)) = (&mut content, more) {
        content.extend(more);
    }
    person.page("settings", "settings_profile.html", content)
}

pub(crate) async fn name(person: Person, form: Form) -> Answer {
    let change = ChangeProfile { name: form.text("name").to_owned() };
    match person.client.change_profile(&change).await {
        Ok(_) => Ok(see("/settings/profile?done=name")),
        Err(error) => page(&person, &form.keep(&["name"]).problem("name", mendable(error)?), json!({})),
    }
}

pub(crate) async fn password(person: Person, form: Form) -> Answer {
    let change = ChangePassword {
        old_password: form.raw("old_password").to_owned(),
        new_password: form.raw("new_password").to_owned(),
    };
    if let Some(problem) = password_problem(&change.new_password) {
        return page(&person, &Filled::default().problem("new_password", problem), json!({}));
    }
    match person.client.change_password(&change).await {
        Ok(()) => Ok(see("/settings/profile?done=password")),
        Err(error) => {
            let filled = Filled::default().problem("old_password", mendable(error)?);
            page(&person, &filled, json!({}))
        }
    }
}

pub(crate) async fn email(person: Person, form: Form) -> Answer {
    let filled = form.keep(&["email"]);
    let change = ChangeEmail { email: form.text("email").to_owned(), ..ChangeEmail::default() };
    if let Some(problem) = email_problem(&change.email) {
        return page(&person, &filled.problem("email", problem), json!({}));
    }
    match person.client.change_email(&change).await {
        Ok(()) => page(&person, &filled, json!({ "codes_sent": true })),
        Err(error) => page(&person, &filled.problem("email", mendable(error)?), json!({})),
    }
}

pub(crate) async fn confirm_email(person: Person, form: Form) -> Answer {
    let filled = form.keep(&["email", "old_code", "new_code"]);
    let change = ChangeEmail {
        email: form.text("email").to_owned(),
        old_code: form.text("old_code").to_owned(),
        new_code: form.text("new_code").to_owned(),
    };
    match person.client.confirm_email(&change).await {
        Ok(()) => Ok(see("/settings/profile?done=email")),
        Err(error) => {
            let filled = filled.fail("email", mendable(error)?);
            page(&person, &filled, json!({ "codes_sent": true }))
        }
    }
}

pub(crate) async fn start_totp(person: Person, _form: Form) -> Answer {
    match person.client.totp_start().await {
        Ok(secret) => page(&person, &Filled::default(), json!({ "totp": shown(&secret) })),
        Err(error) => page(&person, &Filled::default().fail("totp", mendable(error)?), json!({})),
    }
}

pub(crate) async fn confirm_totp(person: Person, form: Form) -> Answer {
    let code = TotpCode { totp: form.text("totp").replace(' ', "") };
    match person.client.totp_confirm(&code).await {
        Ok(()) => Ok(see("/settings/profile?done=totp-on")),
        Err(error) => {
            let text = mendable(error)?;
            // The secret is the one that was shown: it came with the form, so that a mistyped code costs no new scan.
            let secret =
                TotpSecret { secret: form.text("secret").to_owned(), uri: form.text("uri").to_owned() };
            page(&person, &Filled::default().problem("totp", text), json!({ "totp": shown(&secret) }))
        }
    }
}

pub(crate) async fn remove_totp(person: Person, form: Form) -> Answer {
    let code = TotpCode { totp: form.text("totp").replace(' ', "") };
    match person.client.totp_remove(&code).await {
        Ok(()) => Ok(see("/settings/profile?done=totp-off")),
        Err(error) => page(&person, &Filled::default().problem("totp", mendable(error)?), json!({})),
    }
}

pub(crate) async fn delete(person: Person, form: Form) -> Answer {
    if form.text("confirm") != person.me.name {
        let text = format!("Type `{}` to delete your account.", person.me.name);
        return page(&person, &Filled::default().problem("confirm", text), json!({}));
    }
    match person.client.delete_me(&DeleteMe { password: form.raw("password").to_owned() }).await {
        Ok(()) => {
            let mut response = see("/login?done=gone");
            person.visit.remove_cookie(&mut response, cookie::SESSION);
            person.visit.remove_cookie(&mut response, cookie::NAMESPACE);
            Ok(response)
        }
        Err(error) => {
            let filled =
                Filled::default().blame("delete", &[("password", "delete_password")], mendable(error)?);
            page(&person, &filled, json!({}))
        }
    }
}

/// What an authenticator scans, as the path of an SVG, beside the letters to type.
fn shown(secret: &TotpSecret) -> Value {
    let code = QrCode::encode_text(&secret.uri, QrCodeEcc::Medium).ok();
    let image = code.map(|code| {
        let mut path = String::new();
        for (x, y) in (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y))) {
            if code.get_module(x, y) {
                path.push_str(&format!("M{} {}h1v1h-1z", x + 4, y + 4));
            }
        }
        json!({ "path": path, "size": code.size() + 8 })
    });
    json!({ "secret": secret.secret, "uri": secret.uri, "image": image })
}
