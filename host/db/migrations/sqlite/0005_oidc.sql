-- Accounts elsewhere that sign people in, and sign-ins that are under way there.

-- Whether the person proved the address: by a mailed code, a mailed invitation, or a provider's word. Only then is an
-- account elsewhere with the same proven address the same person's. Of those who came before this the log tells. An
-- invitation's code may have come from another's hands, and the operator's code for a reset from a terminal.
ALTER TABLE people ADD COLUMN email_proved BIGINT NOT NULL DEFAULT 0;
UPDATE people SET email_proved = 1
WHERE id IN (SELECT actor FROM audit WHERE action = 'person.email' OR (action = 'person.signup' AND detail = 'by code'))
    OR (operator = 0 AND id IN (SELECT actor FROM audit WHERE action = 'person.reset'));

-- `subject` is the provider's name for somebody, which it never gives to another. `email` is what it said last, to be
-- shown; nothing is decided by it.
CREATE TABLE identities (
    id TEXT NOT NULL UNIQUE,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    person TEXT NOT NULL,
    email TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    used_ms BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_by_person ON identities (person, created_ms);

-- A browser that is at the provider (`step`: provider), or whose person must still give a second factor (factor).
-- `digest`: SHA-256 of the state or the ticket; `browser`: of the browser's secret; `nonce`: of the nonce. `person`:
-- who links, or whose factor is asked for; empty: whoever the provider will name. `sealed`: the code verifier, or who
-- the provider named.
CREATE TABLE oidc_flows (
    digest TEXT NOT NULL PRIMARY KEY,
    step TEXT NOT NULL,
    browser TEXT NOT NULL,
    person TEXT NOT NULL,
    nonce TEXT NOT NULL,
    sealed TEXT NOT NULL,
    redirect_to TEXT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX oidc_flows_by_end ON oidc_flows (expires_ms);
