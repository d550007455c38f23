;; A handler on `micro:platform-sync` that streams, as the first letter of the endpoint says.
(module
  (import "micro:platform-sync/streaming@0.1.0" "receive" (func $receive (param i32)))
  (import "micro:platform-sync/streaming@0.1.0" "send" (func $send (param i32 i32 i32)))
  (memory (export "memory") 40)
  (global $heap (mut i32) (i32.const 65536))

  (func $alloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (local.get $at))

  ;; Where `handle` puts its result: `ok` with the bytes at `at`.
  (func $ok (param $at i32) (param $length i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 0))
    (i32.store (i32.const 1028) (local.get $at))
    (i32.store (i32.const 1032) (local.get $length))
    (i32.const 1024))

  ;; An error of which only the code is said.
  (func $fail (param $code i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (i32.const 0))
    (i32.store (i32.const 1032) (i32.const 0))
    (i32.store16 (i32.const 1036) (local.get $code))
    (i32.store (i32.const 1040) (i32.const 0))
    (i32.store (i32.const 1044) (i32.const 0))
    (i32.store (i32.const 1048) (i32.const 0))
    (i32.store (i32.const 1052) (i32.const 0))
    (i32.const 1024))

  (func $trap_on_purpose (unreachable))

  (func (export "micro:platform-sync/handler@0.1.0#handle") (param $at i32) (result i32)
    (local $what i32)
    (local $sum i32)
    (local.set $what (i32.load8_u (i32.load offset=72 (local.get $at))))
    (global.set $heap (i32.const 65536))
    ;; b: a message of two million bytes
    (if (i32.eq (local.get $what) (i32.const 98)) (then
      (call $send (i32.const 0) (i32.const 2000000) (i32.const 2048))
      (return (call $ok (i32.const 0) (i32.const 0)))))
    ;; c: the number of bytes received, as text of one digit
    (if (i32.eq (local.get $what) (i32.const 99)) (then
      (loop $next
        (call $receive (i32.const 2048))
        (if (i32.load8_u (i32.const 2048)) (then (return (call $fail (i32.load16_u (i32.const 2060))))))
        (if (i32.load8_u (i32.const 2052)) (then
          (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 2060))))
          (br $next))))
      (i32.store8 (i32.const 1056) (i32.add (local.get $sum) (i32.const 48)))
      (return (call $ok (i32.const 1056) (i32.const 1)))))
    ;; e: echo
    (if (i32.eq (local.get $what) (i32.const 101)) (then
      (loop $next
        (global.set $heap (i32.const 65536))
        (call $receive (i32.const 2048))
        (if (i32.load8_u (i32.const 2048)) (then (return (call $fail (i32.load16_u (i32.const 2060))))))
        (if (i32.load8_u (i32.const 2052)) (then
          (call $send (i32.load (i32.const 2056)) (i32.load (i32.const 2060)) (i32.const 2048))
          (if (i32.load8_u (i32.const 2048)) (then (return (call $fail (i32.load16_u (i32.const 2060))))))
          (br $next))))
      (return (call $ok (i32.const 0) (i32.const 0)))))
    ;; l: sends the request without end
    (if (i32.eq (local.get $what) (i32.const 108)) (then
      (loop $next
        (call $send (i32.load offset=84 (local.get $at)) (i32.load offset=88 (local.get $at)) (i32.const 2048))
        (br_if $next (i32.eqz (i32.load8_u (i32.const 2048)))))
      (return (call $fail (i32.load16_u (i32.const 2060))))))
    ;; o: one message and an answer, which is too much
    ;; f: one message and an error; t: one message and a trap; s: twenty messages
    (call $send (i32.load offset=84 (local.get $at)) (i32.load offset=88 (local.get $at)) (i32.const 2048))
    (if (i32.eq (local.get $what) (i32.const 111)) (then (return (call $ok (i32.const 0) (i32.const 1)))))
    (if (i32.eq (local.get $what) (i32.const 102)) (then (return (call $fail (i32.const 409)))))
    (if (i32.eq (local.get $what) (i32.const 116)) (then (call $trap_on_purpose)))
    (local.set $sum (i32.const 19))
    (loop $next
      (call $send (i32.load offset=84 (local.get $at)) (i32.load offset=88 (local.get $at)) (i32.const 2048))
      (local.set $sum (i32.sub (local.get $sum) (i32.const 1)))
      (br_if $next (local.get $sum)))
    (call $ok (i32.const 0) (i32.const 0)))
)
