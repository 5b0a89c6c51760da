(module
  (type (;0;) (func (param i32 i32) (result i32)))
  (func $sum (type 0) (param $a i32) (param $b i32) (result i32)
    (local $c i64) (local $d f32)
    global.get 0
    i64.const 12
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    local.get $a
    local.get $b
    i32.add)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1)))
