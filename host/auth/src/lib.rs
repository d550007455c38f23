//! Who someone is and what they may do: passwords, credentials, tokens, Micro's access rules, and secrets at rest.
//!
//! The gateway and the control plane both use it, so it knows no database, no HTTP and no files: what it needs is passed
//! in, time too. What a caller has to keep between two calls (hashes, public keys, the last step of a second factor) it
//! is given as a plain value.

pub mod identity;
pub mod key;
pub mod password;
mod random;
pub mod role;
pub mod rule;
pub mod seal;
pub mod secret;
pub mod token;
pub mod token_bucket;
pub mod totp;

pub use identity::{Authenticator, Credential, Identity, Refused};
pub use key::{Opaque, OpaqueKind};
pub use password::{PasswordConfig, PasswordError, Passwords};
pub use role::{may_grant, role_of, scopes_of};
pub use rule::{RuleSet, Subject, Verdict};
pub use seal::{MasterKey, SealError, Sealer, sealed_by};
pub use secret::{Secret, random_secret};
pub use token::{
    AccountType, Claims, Expected, IdClaims, IdTokenError, KeyError, Keyring, ProviderKeys, PublicKey,
    SigningKey, TokenError, Verifier, peek_unverified,
};
pub use token_bucket::{Quota, Remaining, RetryAfter, TokenBuckets};
pub use totp::TotpError;
