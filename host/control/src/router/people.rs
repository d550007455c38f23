//! The routes about people and teams.

use axum::routing::{delete, get, patch, post, put};
use micro_api::{auth, oidc as sso, operator as records, person, routes, team};

use crate::api::{
    audit, device, invitations, me, members, namespaces, oidc, operator, projects, reset, signup,
};
use crate::openapi::Endpoint;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut all = joining();
    all.extend(single_sign_on());
    all.extend(oneself());
    all.extend(teams());
    all.extend(operating());
    all
}

fn joining() -> Vec<Endpoint> {
    let below = |path: &str, tail: &str| format!("{path}/{tail}");
    vec![
        Endpoint::get(routes::SIGNUP, "Who may sign up", get(signup::info::handler))
            .answers::<person::SignupInfo>(200),
        Endpoint::post(&below(routes::SIGNUP, "code"), "Mail a code to sign up", post(signup::code::handler))
            .reads::<person::CodeRequest>()
            .answers_empty(202),
        Endpoint::post(&below(routes::SIGNUP, "check"), "Whether a code holds", post(signup::check::handler))
            .reads::<person::CodeCheck>()
            .answers::<person::CodeChecked>(200),
        Endpoint::post(routes::SIGNUP, "Sign up", post(signup::create::handler))
            .reads::<person::Signup>()
            .answers::<person::SessionOpened>(201),
        Endpoint::post(
            &below(routes::RESET, "code"),
            "Mail a code for a new password",
            post(reset::code::handler),
        )
        .reads::<person::CodeRequest>()
        .answers_empty(202),
        Endpoint::post(routes::RESET, "Set a new password", post(reset::create::handler))
            .reads::<person::ResetPassword>()
            .answers_nothing(),
        Endpoint::post(routes::DEVICE, "A terminal begins to sign in", post(device::start::handler))
            .answers::<person::DeviceStart>(200),
        Endpoint::post(
            &below(routes::DEVICE, "token"),
            "Whether a person let the terminal in",
            post(device::token::handler),
        )
        .reads::<person::DeviceCode>()
        .answers::<auth::Token>(200),
        Endpoint::post(
            &below(routes::DEVICE, "approve"),
            "Let a terminal in",
            post(device::approve::handler),
        )
        .reads::<person::DeviceApprove>()
        .answers_nothing(),
    ]
}

fn single_sign_on() -> Vec<Endpoint> {
    let below = |path: &str, tail: &str| format!("{path}/{tail}");
    vec![
        Endpoint::post(routes::OIDC, "Begin to sign in with the provider", post(oidc::start::handler))
            .reads::<sso::OidcStart>()
            .answers::<sso::OidcStarted>(201),
        Endpoint::post(
            &below(routes::OIDC, "finish"),
            "Come back from the provider",
            post(oidc::finish::handler),
        )
        .reads::<sso::OidcFinish>()
        .answers::<sso::OidcFinished>(200),
        Endpoint::post(
            &below(routes::OIDC, "factor"),
            "Give the second factor after the provider",
            post(oidc::factor::handler),
        )
        .reads::<sso::OidcFactor>()
        .answers::<sso::OidcFinished>(200),
        Endpoint::get(routes::IDENTITIES, "Accounts elsewhere that sign me in", get(oidc::identities::list))
            .answers::<Vec<sso::Identity>>(200),
        Endpoint::post(
            routes::IDENTITIES,
            "Begin to link an account elsewhere",
            post(oidc::identities::link),
        )
        .reads::<sso::OidcStart>()
        .answers::<sso::OidcStarted>(201),
        Endpoint::delete(
            &below(routes::IDENTITIES, "{id}"),
            "Unlink an account elsewhere",
            delete(oidc::identities::unlink),
        )
        .answers_nothing(),
    ]
}

fn oneself() -> Vec<Endpoint> {
    let below = |tail: &str| format!("{}/{tail}", routes::ME);
    vec![
        Endpoint::get(routes::ME, "Who asks", get(me::get::handler)).answers::<person::Me>(200),
        Endpoint::patch(routes::ME, "Change the name", patch(me::rename::handler))
            .reads::<person::ChangeProfile>()
            .answers::<person::Me>(200),
        Endpoint::delete(routes::ME, "Delete the account", delete(me::delete::handler))
            .reads::<person::DeleteMe>()
            .answers_nothing(),
        Endpoint::post(&below("password"), "Change the password", post(me::password::handler))
            .reads::<person::ChangePassword>()
            .answers_nothing(),
        Endpoint::post(&below("email"), "Mail codes to change the address", post(me::email::begin))
            .reads::<person::ChangeEmail>()
            .answers_empty(202),
        Endpoint::put(&below("email"), "Change the address", put(me::email::confirm))
            .reads::<person::ChangeEmail>()
            .answers_nothing(),
        Endpoint::post(&below("totp"), "Begin a second factor", post(me::totp::begin))
            .answers::<person::TotpSecret>(200),
        Endpoint::put(&below("totp"), "Switch the second factor on", put(me::totp::confirm))
            .reads::<person::TotpCode>()
            .answers_nothing(),
        Endpoint::delete(&below("totp"), "Remove the second factor", delete(me::totp::remove))
            .reads::<person::TotpCode>()
            .answers_nothing(),
    ]
}

fn teams() -> Vec<Endpoint> {
    let by_id = |path: &str| format!("{path}/{{id}}");
    vec![
        Endpoint::get(routes::PROJECTS, "Projects", get(projects::list::handler))
            .answers::<Vec<team::Project>>(200),
        Endpoint::post(routes::PROJECTS, "Make a project", post(projects::create::handler))
            .reads::<team::NewProject>()
            .answers::<team::Project>(201),
        Endpoint::delete(&by_id(routes::PROJECTS), "Delete a project", delete(projects::delete::handler))
            .answers_nothing(),
        Endpoint::post(
            &format!("{}/environments", by_id(routes::PROJECTS)),
            "Make an environment",
            post(projects::environments::handler),
        )
        .reads::<team::NewEnvironment>()
        .answers::<team::Environment>(201),
        Endpoint::delete(
            &format!("{}/{{namespace}}", routes::NAMESPACES),
            "Delete an environment",
            delete(namespaces::delete::handler),
        )
        .answers_nothing(),
        Endpoint::get(routes::MEMBERS, "People of the namespace", get(members::list::handler))
            .answers::<Vec<team::Member>>(200),
        Endpoint::put(&by_id(routes::MEMBERS), "Give a member another role", put(members::change::handler))
            .reads::<team::ChangeRole>()
            .answers_nothing(),
        Endpoint::delete(
            &by_id(routes::MEMBERS),
            "Take a member out, or leave",
            delete(members::remove::handler),
        )
        .answers_nothing(),
        Endpoint::get(routes::INVITATIONS, "Invitations that wait", get(invitations::list::handler))
            .answers::<Vec<team::Invitation>>(200),
        Endpoint::post(routes::INVITATIONS, "Invite somebody", post(invitations::create::handler))
            .reads::<team::NewInvitation>()
            .answers::<team::Invitation>(201),
        Endpoint::delete(
            &by_id(routes::INVITATIONS),
            "Withdraw an invitation",
            delete(invitations::withdraw::handler),
        )
        .answers_nothing(),
        Endpoint::post(
            &format!("{}/accept", routes::INVITATIONS),
            "Accept an invitation",
            post(invitations::accept::handler),
        )
        .reads::<team::AcceptInvitation>()
        .answers::<person::Membership>(200),
        Endpoint::get(routes::AUDIT, "Who did what", get(audit::list::handler))
            .takes::<audit::Page>()
            .answers::<Vec<team::AuditRecord>>(200),
    ]
}

fn operating() -> Vec<Endpoint> {
    let below = |tail: &str| format!("{}/{tail}", routes::OPERATOR);
    vec![
        Endpoint::get(&below("people"), "People of the platform", get(operator::people::list))
            .takes::<audit::Page>()
            .answers::<Vec<records::Person>>(200),
        Endpoint::put(
            &below("people/{id}"),
            "Block a person or let one go on",
            put(operator::people::change),
        )
        .reads::<records::Change>()
        .answers::<records::Person>(200),
        Endpoint::get(&below("namespaces"), "Namespaces of the platform", get(operator::namespaces::list))
            .takes::<audit::Page>()
            .answers::<Vec<records::NamespaceStatus>>(200),
        Endpoint::put(
            &below("namespaces/{namespace}"),
            "Block a namespace, let it go on, or set its plan",
            put(operator::namespaces::change),
        )
        .reads::<records::Change>()
        .answers::<records::NamespaceStatus>(200),
        Endpoint::post(
            &below("invitations"),
            "Invite somebody to the platform",
            post(operator::invite::handler),
        )
        .reads::<records::Invite>()
        .answers::<team::Invitation>(201),
        Endpoint::get(&below("plans"), "Plans", get(operator::plans::handler))
            .answers::<Vec<records::Plan>>(200),
        Endpoint::get(&below("audit"), "Who did what on the platform", get(operator::audit::handler))
            .takes::<audit::Page>()
            .answers::<Vec<team::AuditRecord>>(200),
    ]
}
