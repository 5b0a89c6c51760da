;; Entering a function costs 4 and one for each parameter, local and result; nothing else is added
;; for a straight line.
(module
  (func $sum (param $a i32) (param $b i32) (result i32)
    (local $c i64) (local $d f32)
    local.get $a
    local.get $b
    i32.add))
