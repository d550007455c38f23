//! What a person at a terminal sees.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::fake::Fake;
use crate::fake::accounts::OWL;
use crate::harness::Micro;

/// Runs `micro` on a terminal. Each answer is typed once its question has come; gives what the screen shows.
fn on_terminal(micro: &Micro, args: &[&str], answers: &[(&str, &str)]) -> (String, i32) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let no_control = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).unwrap();
    let side =
        File::options().read(true).write(true).custom_flags(no_control).open(name.to_str().unwrap()).unwrap();
    let mut command = micro.command(&micro.work(), args);
    command.stdin(side.try_clone().unwrap()).stdout(side.try_clone().unwrap()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The terminal ends when the child's sides are closed, so ours go first.
    drop((command, side));
    let mut terminal = File::from(terminal);
    let mut screen = Vec::new();
    let mut answers = answers.iter();
    let mut next = answers.next();
    let mut chunk = [0; 1_024];
    while let Ok(read @ 1..) = terminal.read(&mut chunk) {
        screen.extend_from_slice(&chunk[..read]);
        if let Some((question, answer)) = next
            && String::from_utf8_lossy(&screen).ends_with(question)
        {
            terminal.write_all(answer.as_bytes()).unwrap();
            next = answers.next();
        }
    }
    assert!(next.is_none(), "never asked {next:?}: {}", String::from_utf8_lossy(&screen));
    (String::from_utf8(screen).unwrap().replace("\r\n", "\n"), child.wait().unwrap().code().unwrap())
}

#[test]
fn a_password_is_not_shown() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    let (screen, code) =
        on_terminal(&micro, &["login", "--username", "jane"], &[("Enter password: ", "secret\n")]);
    assert_eq!((screen.as_str(), code), ("Enter password: \nSuccessfully logged in.\n", 0));
}

#[test]
fn login_without_flags_shows_a_code_for_the_browser() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    let (screen, code) = on_terminal(&micro, &["login"], &[]);
    assert_eq!(code, 0, "{screen}");
    assert!(screen.starts_with("Open https://example.com/device and enter the code ABCD-EFGH\n"), "{screen}");
    assert!(screen.ends_with("\nSuccessfully logged in.\n"), "{screen}");
    assert_eq!(micro.stdout(&["user", "namespace"]), format!("{OWL}\n"));
}

#[test]
fn passwords_are_typed_twice_until_they_are_the_same() {
    let fake = Fake::guarded();
    let micro = Micro::with(&fake.address);
    fake.seen().accounts.invited_to = OWL;
    let answers = [
        ("Enter email address: ", "new@example.com\n"),
        ("Enter the OTP sent to your email address: ", "12345678\n"),
        ("Please type \"own\" or \"join\": ", "maybe\n"),
        ("Valid answers are: \"own\" or \"join\": ", "join\n"),
        ("Enter a new password: ", "password-1\n"),
        ("Verify your password: ", "password-2\n"),
        ("Enter a new password: ", "password-1\n"),
        ("Verify your password: ", "password-1\n"),
    ];
    let (screen, code) = on_terminal(&micro, &["signup"], &answers);
    assert_eq!(
        screen,
        format!(
            "Enter email address: new@example.com\n\
             Enter the OTP sent to your email address: 12345678\n\
             \nYou've been invited to the '{OWL}' namespace.\n\
             Do you want to join it or create your own? Please type \"own\" or \"join\": maybe\n\
             Answer \"maybe\" is invalid. Valid answers are: \"own\" or \"join\": join\n\
             Enter a new password: \nVerify your password: \n\
             Passwords do not match. Please try again.\n\
             Enter a new password: \nVerify your password: \n\
             \nSignup complete! You're now logged in.\n"
        )
    );
    assert_eq!(code, 0);
    let seen = fake.seen();
    let (_, signup) = seen.accounts.changes.iter().find(|(what, _)| what == "POST /v1/signup").unwrap();
    assert_eq!((&signup["code"], &signup["join"]), (&"12345678".into(), &true.into()));
}
