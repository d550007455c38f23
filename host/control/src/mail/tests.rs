use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use micro_api::auth::Role;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;

/// What a mail server answers to the recipient.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Accepts,
    /// 550 for every recipient.
    Refuses,
    /// 451 so many times, then accepts.
    Busy(usize),
    /// Takes the connection and says nothing.
    Hangs,
    /// Greets, and then says a byte now and then.
    Dawdles,
}

/// A mail server with no TLS. Mails come as (envelope recipient, all that was said after DATA).
struct Server {
    port: u16,
    mails: watch::Receiver<Vec<(String, String)>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, mails) = watch::channel(Vec::new());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let n = count.fetch_add(1, Ordering::SeqCst);
                let sender = sender.clone();
                tokio::spawn(async move {
                    // A client that goes away is no failure of the test.
                    let _ = serve(stream, manner, n, &sender).await;
                });
            }
        });
        Self { port, mails, connections }
    }

    fn config(&self) -> SmtpConfig {
        SmtpConfig {
            port: self.port,
            tls: SmtpTls::None,
            timeout: Duration::from_secs(10),
            ..SmtpConfig::new("127.0.0.1", "Micro <micro@platform.example>")
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    stream: TcpStream,
    manner: Manner,
    n: usize,
    mails: &watch::Sender<Vec<(String, String)>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    match manner {
        Manner::Hangs => std::future::pending().await,
        Manner::Dawdles => loop {
            stream.write_all(b"2").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        },
        _ => stream.write_all(b"220 mail.example\r\n").await?,
    }
    let mut recipient = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let word = line.split([' ', ':', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match (word.as_str(), manner) {
            ("RCPT", Manner::Refuses) => "550 no such user\r\n",
            ("RCPT", Manner::Busy(times)) if n < times => "451 later\r\n",
            ("RCPT", _) => {
                recipient = line.trim().to_owned();
                "250 ok\r\n"
            }
            ("DATA", _) => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await?;
                    if line == ".\r\n" {
                        break;
                    }
                    text.push_str(&line);
                }
                mails.send_modify(|mails| mails.push((recipient.clone(), text)));
                "250 taken\r\n"
            }
            ("EHLO", _) => "250 mail.example\r\n",
            ("QUIT", _) => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn message(to: &str) -> Message {
    Message {
        to: to.parse().unwrap(),
        subject: "Your code is 12345678".to_owned(),
        text: "12345678".to_owned(),
    }
}

fn outbox(config: &SmtpConfig, pace: Pace) -> Outbox {
    Outbox::new(Arc::new(SmtpMailer::new(config).unwrap()), pace)
}

fn quick() -> Pace {
    Pace { waiting_max: 8, at_once: 2, pauses: vec![Duration::from_millis(1); 3] }
}

#[tokio::test]
async fn a_mail_reaches_the_server() {
    let mut server = Server::start(Manner::Accepts).await;
    let outbox = outbox(&server.config(), quick());
    outbox.post(message("jane@example.com")).unwrap();
    let mails = server.mails.wait_for(|mails| mails.len() == 1).await.unwrap().clone();
    assert_eq!(mails[0].0, "RCPT TO:<jane@example.com>");
    for line in [
        "From: Micro <micro@platform.example>\r\n",
        "To: jane@example.com\r\n",
        "Subject: Your code is 12345678\r\n",
        "Content-Type: text/plain; charset=utf-8\r\n",
        "\r\n\r\n12345678\r\n",
    ] {
        assert!(mails[0].1.contains(line), "{line:?} in {}", mails[0].1);
    }
    assert!(mails[0].1.contains("Message-ID: <") && mails[0].1.contains("Date: "));
}

#[tokio::test]
async fn nothing_typed_becomes_a_header_or_the_end_of_a_mail() {
    let mut server = Server::start(Manner::Accepts).await;
    let outbox = outbox(&server.config(), quick());
    let evil = "x\r\nBcc: eve@example.com\r\n\r\nhello\r\n.\r\nMAIL FROM:<a@b>";
    let mail = Message { subject: evil.to_owned(), text: evil.to_owned(), ..message("jane@example.com") };
    outbox.post(mail).unwrap();
    let mails = server.mails.wait_for(|mails| mails.len() == 1).await.unwrap().clone();
    let (headers, _) = mails[0].1.split_once("\r\n\r\n").unwrap();
    assert!(!headers.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{headers}");
    assert_eq!(headers.lines().filter(|line| line.starts_with("Subject: ")).count(), 1);
    outbox.flushed().await;
    assert_eq!(server.connections(), 1);
    assert_eq!(server.mails.borrow().len(), 1, "the text did not end the mail");

    let texts = Texts { portal: "https://portal.example" };
    let to = || "jane@example.com".parse::<Address>().unwrap();
    let mail = texts.new_login(to(), "curl\r\n\r\nYour account is closed: http://evil.example", "192.0.2.1");
    assert!(mail.text.contains("program: curl    Your account"), "{}", mail.text);
    let mail = texts.new_key(to(), "a\nb", "shop", "192.0.2.1");
    assert!(mail.text.contains("key: a b\n"), "{}", mail.text);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_tried_again() {
    let server = Server::start(Manner::Refuses).await;
    let mailer = SmtpMailer::new(&server.config()).unwrap();
    let error = mailer.send(&message("jane@example.com")).await.unwrap_err();
    assert!(matches!(error, MailError::Refused(_)) && !error.is_transient(), "{error:?}");
    let outbox = outbox(&server.config(), quick());
    outbox.post(message("jane@example.com")).unwrap();
    outbox.flushed().await;
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn what_fails_for_now_is_tried_again() {
    let mut server = Server::start(Manner::Busy(2)).await;
    let outbox = outbox(&server.config(), quick());
    outbox.post(message("jane@example.com")).unwrap();
    server.mails.wait_for(|mails| mails.len() == 1).await.unwrap();
    outbox.flushed().await;
    assert_eq!((server.connections(), server.mails.borrow().len()), (3, 1));
    // And is given up in the end.
    let server = Server::start(Manner::Busy(usize::MAX)).await;
    let outbox = self::outbox(&server.config(), quick());
    outbox.post(message("jane@example.com")).unwrap();
    outbox.flushed().await;
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_no_request_and_no_memory() {
    for manner in [Manner::Hangs, Manner::Dawdles] {
        let server = Server::start(manner).await;
        let config = SmtpConfig { timeout: Duration::from_millis(200), ..server.config() };
        let mailer = SmtpMailer::new(&config).unwrap();
        let started = Instant::now();
        let error = mailer.send(&message("jane@example.com")).await.unwrap_err();
        assert!(error.is_transient() && started.elapsed() < Duration::from_secs(5), "{manner:?}: {error:?}");
        let patient = SmtpConfig { timeout: Duration::from_secs(600), ..config };
        let outbox = outbox(&patient, quick());
        let started = Instant::now();
        for n in 0..8 {
            outbox.post(message(&format!("p{n}@example.com"))).unwrap();
        }
        assert_eq!(outbox.post(message("one@too-many.example")), Err(Full));
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_server_without_the_tls_that_is_asked_for_learns_nothing() {
    let server = Server::start(Manner::Accepts).await;
    let login = SmtpLogin { user: "micro".to_owned(), password: micro_auth::Secret::new("hunter2") };
    let config = SmtpConfig { tls: SmtpTls::StartTls, login: Some(login), ..server.config() };
    assert!(!format!("{config:?}").contains("hunter2"));
    let mailer = SmtpMailer::new(&config).unwrap();
    mailer.send(&message("jane@example.com")).await.unwrap_err();
    assert!(server.mails.borrow().is_empty());
}

#[tokio::test]
async fn mails_to_a_file_are_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mails.txt");
    let outbox = MailConfig::File(path.clone()).open().unwrap();
    assert_eq!(outbox.file(), Some(path.display().to_string()));
    outbox.post(message("jane@example.com")).unwrap();
    outbox.flushed().await;
    outbox.post(message("joe@example.com")).unwrap();
    outbox.flushed().await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("Subject: Your code is 12345678\n\n12345678\n").count(), 2, "{text}");
    assert!(text.find("To: jane@example.com\n") < text.find("To: joe@example.com\n"), "{text}");
    assert!(text.starts_with("Date: "), "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // A file that others could read before is closed to them.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    outbox.post(message("jane@example.com")).unwrap();
    outbox.flushed().await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // One that grew large is put aside.
    let large = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    large.set_len(5 * 1024 * 1024).unwrap();
    outbox.post(message("jane@example.com")).unwrap();
    outbox.flushed().await;
    assert!(std::fs::metadata(&path).unwrap().len() < 1_000);
    assert!(folder.path().join("mails.txt.old").exists());
}

#[tokio::test]
async fn mails_do_not_follow_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("mails.txt"), folder.path().join("victim"));
    std::fs::write(&target, "mine").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let error = FileMailer::new(link).send(&message("jane@example.com")).await.unwrap_err();
    assert!(matches!(error, MailError::File { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
}

#[test]
fn only_plain_addresses_are_taken() {
    for text in ["jane@example.com", " jane.doe+tag@sub.example.co.uk ", "operator@localhost", "a@b.c"] {
        assert_eq!(parse_address("people", text).unwrap().to_string(), text.trim());
    }
    for text in [
        "",
        "jane",
        "@example.com",
        "jane@",
        "a@b@c",
        "Jane <jane@example.com>",
        "jane@example.com, eve@example.com",
        "jane@example.com\r\nBcc: eve@example.com",
        "jane @example.com",
        "\"jane doe\"@example.com",
        "jané@example.com",
        "jane@[127.0.0.1]",
        "jane@exa\0mple.com",
    ] {
        let error = parse_address("people", text).unwrap_err();
        assert_eq!(error.code, 400, "{text:?}");
        assert!(error.detail.ends_with("write it as name@example.com"), "{}", error.detail);
        assert!(!error.detail.contains(['\r', '\n', '\0']));
    }
    let long = format!("{}@example.com", "a".repeat(300));
    assert!(parse_address("people", &long).unwrap_err().detail.len() < 200);
}

#[test]
fn each_mail_says_what_to_do() {
    let texts = Texts { portal: "https://portal.example" };
    let to = || "jane@example.com".parse::<Address>().unwrap();
    let into = Some(("shop", Role::Developer));
    for (mail, words) in [
        (texts.sign_up_code(to(), "12345678"), vec!["12345678", "60 minutes", "do nothing"]),
        (texts.has_account(to()), vec!["https://portal.example/login", "https://portal.example/reset"]),
        (texts.reset_code(to(), "12345678"), vec!["12345678", "API keys stay"]),
        (texts.password_changed(to(), true), vec!["API keys stay", "/settings/keys", "/reset"]),
        (texts.old_email_code(to(), "12345678", &to()), vec!["12345678", "jane@example.com"]),
        (texts.new_email_code(to(), "12345678"), vec!["12345678", "60 minutes"]),
        (texts.email_changed(to(), &to()), vec!["moved", "ask the operator"]),
        (
            texts.invitation(to(), "Joe", into, "microi_x"),
            vec!["Joe invites you to the namespace shop as developer", "/invitation/microi_x", "7 days"],
        ),
        (texts.invitation(to(), "Joe", None, "microi_x"), vec!["Joe invites you to the platform"]),
        (
            texts.new_login(to(), "", "192.0.2.1"),
            vec!["an unknown program", "192.0.2.1", "Change your password"],
        ),
        (texts.new_key(to(), "", "shop", "192.0.2.1"), vec!["namespace shop", "Revoke it now"]),
        (
            texts.quota_alert(to(), "shop", "requests_per_month", 80, "Then calls are refused."),
            vec!["80 %", "`requests_per_month`", "Then calls are refused.", "/n/shop/usage"],
        ),
        (texts.deleted(to(), 14), vec!["14 days", "erased"]),
    ] {
        for word in words {
            assert!(mail.text.contains(word), "{word:?} in {}", mail.text);
        }
        assert!(!mail.subject.is_empty() && !mail.subject.contains('\n'));
        assert_eq!(mail.to, to());
    }
}
