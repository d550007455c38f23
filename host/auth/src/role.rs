//! Roles among scopes. Scopes are texts; three of them, and Micro's old `admin`, say what role an account has.

pub use micro_api::auth::Role;

/// What Micro called an owner. Source: Micro v2.8's default account.
const MICRO_ADMIN: &str = "admin";

/// The highest role among `scopes`. As everywhere in Micro's rules, capitals are small letters.
pub fn role_of(scopes: &[String]) -> Option<Role> {
    scopes.iter().filter_map(|scope| role(scope)).max()
}

/// The scopes that give `role` to an account: that one and the lower ones, because a rule that asks for `viewer` must
/// let an owner in.
pub fn scopes_of(role: Role) -> Vec<String> {
    Role::ALL.into_iter().filter(|lower| *lower <= role).map(|lower| lower.as_str().to_owned()).collect()
}

/// Whether a holder of `holder` may give `asked` to someone: a role up to the own one, and any other scope that is held;
/// an owner may give any.
///
/// Fails with the first scope that is not the holder's to give.
pub fn may_grant(holder: &[String], asked: &[String]) -> Result<(), String> {
    let held = role_of(holder);
    let allowed = |scope: &str| match role(scope) {
        Some(role) => held >= Some(role),
        None => held == Some(Role::Owner) || holder.iter().any(|own| own.eq_ignore_ascii_case(scope)),
    };
    match asked.iter().find(|scope| !allowed(scope)) {
        Some(scope) => Err(scope.clone()),
        None => Ok(()),
    }
}

fn role(scope: &str) -> Option<Role> {
    if scope.eq_ignore_ascii_case(MICRO_ADMIN) {
        return Some(Role::Owner);
    }
    Role::ALL.into_iter().find(|role| scope.eq_ignore_ascii_case(role.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(list: &[&str]) -> Vec<String> {
        list.iter().map(|scope| (*scope).to_owned()).collect()
    }

    #[test]
    fn the_highest_role_counts() {
        assert_eq!(role_of(&[]), None);
        assert_eq!(role_of(&scopes(&["reports", "owners", ""])), None);
        assert_eq!(role_of(&scopes(&["viewer", "developer"])), Some(Role::Developer));
        assert_eq!(role_of(&scopes(&["admin", "viewer"])), Some(Role::Owner));
        assert_eq!(role_of(&scopes(&["Owner"])), Some(Role::Owner));
        for role in Role::ALL {
            assert_eq!(role_of(&scopes_of(role)), Some(role));
        }
        assert_eq!(scopes_of(Role::Developer), scopes(&["viewer", "developer"]));
    }

    /// What the holder has, what is asked for, and the answer.
    type Case = (&'static [&'static str], &'static [&'static str], Result<(), &'static str>);

    #[test]
    fn nobody_gives_more_than_they_hold() {
        let cases: &[Case] = &[
            (&["owner"], &["owner", "developer", "viewer", "admin", "anything"], Ok(())),
            (&["admin"], &["owner"], Ok(())),
            (&["developer", "reports"], &["developer", "viewer", "reports", "Reports"], Ok(())),
            (&["developer"], &["viewer", "owner"], Err("owner")),
            (&["developer"], &["admin"], Err("admin")),
            (&["developer"], &["OWNER"], Err("OWNER")),
            (&["developer"], &["billing"], Err("billing")),
            (&["viewer"], &["developer"], Err("developer")),
            (&["reports"], &["viewer"], Err("viewer")),
            (&["reports"], &["report"], Err("report")),
            (&[], &[], Ok(())),
            (&[], &[""], Err("")),
        ];
        for (holder, asked, expected) in cases {
            let answer = may_grant(&scopes(holder), &scopes(asked));
            assert_eq!(answer, expected.map_err(str::to_owned), "{holder:?} gives {asked:?}");
        }
    }
}
