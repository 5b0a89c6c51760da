;; Several results need a type for the block that keeps the body's place.
(module
  (func $leaf (param $n i32) (result i32)
    local.get $n)
  (func $again (param $n i32) (result i32 i64)
    i32.const 1
    call $leaf
    i64.const 2
    return))
