fn main() {
    micro_sdk_build::Proto::new().service("proto/looper.proto").generate();
}
