fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/mailer.proto")
        .generate();
}
