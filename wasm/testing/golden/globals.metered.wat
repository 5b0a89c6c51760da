(module
  (type (;0;) (func (result i32)))
  (func (;0;) (type 0) (result i32)
    global.get 1
    i64.const 6
    i64.sub
    global.set 1
    global.get 1
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    global.get 0)
  (global (;0;) i32 (i32.const 7))
  (global (;1;) (mut i64) (i64.const 500))
  (global (;2;) (mut i32) (i32.const 0))
  (export "mine" (global 0))
  (export "arqon_fuel" (global 1))
  (export "arqon_height" (global 2)))
