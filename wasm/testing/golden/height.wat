;; A function that calls counts its slots in and out: 8, its locals, its operands and one for 16
;; instructions. Return leaves the block that keeps its place.
(module
  (func $leaf (param $n i32) (result i32)
    local.get $n)
  (func $deep (param $n i32) (result i32)
    local.get $n
    i32.eqz
    if
      i32.const 0
      return
    end
    local.get $n
    call $leaf
    i32.const 1
    i32.sub
    call $deep))
