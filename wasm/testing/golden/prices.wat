;; Instructions cost what the table says: 5 + 1 + 1 + 10 (i32.div_u) + 20 (i32.load) for one, and
;; 4 + 1 + 1 + 1 + 64 (f64.sqrt) for the other.
(module
  (memory 1 1)
  (func $divide (result i32)
    i32.const 8
    i32.const 2
    i32.div_u
    i32.load)
  (func $root (param $x f64)
    local.get $x
    f64.sqrt
    drop))
