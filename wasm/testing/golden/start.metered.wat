(module
  (type (;0;) (func))
  (import "env" "begin" (func (;0;) (type 0)))
  (func (;1;) (type 0)
    global.get 0
    i64.const 1000
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    call 0)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1))
  (start 1))
