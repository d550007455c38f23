fn main() {
    micro_sdk_build::embed("html");
}
