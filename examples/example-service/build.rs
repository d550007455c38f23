fn main() {
    micro_sdk_build::Proto::new()
        .client("proto/helloworld.proto")
        .generate();
}
