;; A policy of version 2: what its code sets is saved in a second global each, and put back.
(module
  (import "arqon_host_v2" "host_get_payload" (func $payload (result i32)))
  (func $write (param i32)
    local.get 0
    global.set $count
    f64.const nan
    global.set $float
    ref.func $write
    global.set $function)
  (global $fixed i64 (i64.const 7))
  (global $count (mut i32) (i32.const 1))
  (global $unset (mut i32) (i32.const 2))
  (global $float (mut f64) (f64.const 3))
  (global $function (mut funcref) (ref.null func))
  (export "write" (func $write)))
