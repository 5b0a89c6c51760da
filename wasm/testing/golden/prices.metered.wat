(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (param f64)))
  (func (;0;) (type 0) (result i32)
    global.get 0
    i64.const 37
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    i32.const 8
    i32.const 2
    i32.div_u
    i32.load)
  (func (;1;) (type 1) (param f64)
    global.get 0
    i64.const 71
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    local.get 0
    f64.sqrt
    drop)
  (memory (;0;) 1 1)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1)))
