(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (param i32)))
  (type (;2;) (func))
  (import "arqon_host_v2" "host_get_payload" (func (;0;) (type 0)))
  (func (;1;) (type 1) (param i32)
    global.get 5
    i64.const 14
    i64.sub
    global.set 5
    global.get 5
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    local.get 0
    global.set 1
    f64.const nan (;=nan;)
    global.set 3
    ref.func 1
    global.set 4)
  (func (;2;) (type 0) (result i32)
    global.get 5
    i64.const 1000
    i64.sub
    global.set 5
    global.get 5
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    call 0)
  (func (;3;) (type 2)
    global.get 1
    global.set 7
    global.get 3
    global.set 8
    global.get 4
    global.set 9)
  (func (;4;) (type 2)
    global.get 7
    global.set 1
    global.get 8
    global.set 3
    global.get 9
    global.set 4)
  (global (;0;) i64 (i64.const 7))
  (global (;1;) (mut i32) (i32.const 1))
  (global (;2;) (mut i32) (i32.const 2))
  (global (;3;) (mut f64) (f64.const 0x1.8p+1 (;=3;)))
  (global (;4;) (mut funcref) (ref.null func))
  (global (;5;) (mut i64) (i64.const 500))
  (global (;6;) (mut i32) (i32.const 0))
  (global (;7;) (mut i32) (i32.const 0))
  (global (;8;) (mut f64) (f64.const 0x0p+0 (;=0;)))
  (global (;9;) (mut funcref) (ref.null func))
  (export "write" (func 1))
  (export "arqon_fuel" (global 5))
  (export "arqon_height" (global 6))
  (export "arqon_save" (func 3))
  (export "arqon_restore" (func 4)))
