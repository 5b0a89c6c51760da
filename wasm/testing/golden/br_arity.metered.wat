(module
  (type (;0;) (func (result i32 i64)))
  (func (;0;) (type 0) (result i32 i64)
    global.get 0
    i64.const 14
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    block (result i32 i64)  ;; label = @1
      i32.const 1
      i64.const 2
      br 0 (;@1;)
    end)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1)))
