;; A NaN that arithmetic gives gets the standard's own bits before anything can see them: the sum of
;; $stored is stored, that of $moved is a result. The product in $hidden goes into an addition, the
;; rounded value in $compared into a comparison, and both are left as they are; the sign operations and
;; the constant of $kept keep their bits.
(module
  (memory 1 1)
  (func $stored (param $x f32)
    i32.const 0
    local.get $x
    local.get $x
    f32.add
    f32.store)
  (func $moved (param $x f64) (result f64)
    local.get $x
    f32.demote_f64
    local.get $x
    drop
    f64.promote_f32)
  (func $hidden (param $x f64) (result i64)
    local.get $x
    local.get $x
    local.get $x
    f64.mul
    f64.add
    i64.reinterpret_f64)
  (func $compared (param $x f32) (result i32)
    local.get $x
    local.get $x
    f32.nearest
    f32.lt)
  (func $kept (result f32)
    f32.const nan:0x200001
    f32.neg))
