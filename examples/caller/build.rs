fn main() {
    micro_sdk_build::Proto::new()
        .service("proto/caller.proto")
        .client("proto/helloworld.proto")
        .client("proto/ticker.proto")
        .generate();
}
