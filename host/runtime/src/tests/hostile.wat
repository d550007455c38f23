;; A handler on `micro:platform-sync` that does as the first letter of the endpoint says.
(module
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (memory (export "memory") 4)
  (table $table 1 funcref)
  (global $heap (mut i32) (i32.const 65536))
  (global $calls (mut i32) (i32.const 0))

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

  (func $fail (result i32)
    (i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (i32.const 0))
    (i32.store (i32.const 1032) (i32.const 0))
    (i32.store16 (i32.const 1036) (i32.const 409))
    (i32.store (i32.const 1040) (i32.const 2048))
    (i32.store (i32.const 1044) (i32.const 5))
    (i32.store (i32.const 1048) (i32.const 0))
    (i32.store (i32.const 1052) (i32.const 0))
    (i32.const 1024))
  (data (i32.const 2048) "taken")

  (func $recurse (param i64) (result i64)
    (i64.add (call $recurse (i64.add (local.get 0) (i64.const 1))) (local.get 0)))

  (func $trap_on_purpose (unreachable))

  (func $loop (loop $again (br $again)))

  (func $burn (param $turns i32)
    (loop $again
      (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
      (br_if $again (local.get $turns))))

  (func $sleep (param $nanos i64)
    (call $block (call $subscribe (local.get $nanos))))

  (func (export "micro:platform-sync/handler@0.1.0#handle") (param $at i32) (result i32)
    (local $what i32)
    (local.set $what (i32.load8_u (i32.load offset=72 (local.get $at))))
    (global.set $heap (i32.const 65536))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    ;; a: allocate without end
    (if (i32.eq (local.get $what) (i32.const 97)) (then
      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (unreachable)))
    ;; b: burn for some ten milliseconds
    (if (i32.eq (local.get $what) (i32.const 98)) (then (call $burn (i32.const 20000000))))
    ;; c: how many calls this instance has served
    (if (i32.eq (local.get $what) (i32.const 99)) (then
      (i32.store (i32.const 1056) (global.get $calls))
      (return (call $ok (i32.const 1056) (i32.const 4)))))
    ;; f: fail
    (if (i32.eq (local.get $what) (i32.const 102)) (then (return (call $fail))))
    ;; g: grow a table without end
    (if (i32.eq (local.get $what) (i32.const 103)) (then
      (loop $more
        (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 4096)) (i32.const -1))))
      (unreachable)))
    ;; h: a huge answer
    (if (i32.eq (local.get $what) (i32.const 104)) (then
      (drop (memory.grow (i32.const 1600)))
      (return (call $ok (i32.const 0) (i32.const 104857600)))))
    ;; l: loop
    (if (i32.eq (local.get $what) (i32.const 108)) (then (call $loop)))
    ;; n: take a nap
    (if (i32.eq (local.get $what) (i32.const 110)) (then (call $sleep (i64.const 20000000))))
    ;; r: recurse
    (if (i32.eq (local.get $what) (i32.const 114)) (then (drop (call $recurse (i64.const 0)))))
    ;; s: sleep
    (if (i32.eq (local.get $what) (i32.const 115)) (then (call $sleep (i64.const 3600000000000))))
    ;; t: trap
    (if (i32.eq (local.get $what) (i32.const 116)) (then (call $trap_on_purpose)))
    ;; anything else: echo
    (call $ok (i32.load offset=84 (local.get $at)) (i32.load offset=88 (local.get $at))))
)
