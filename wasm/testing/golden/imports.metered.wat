(module
  (type (;0;) (func (param i32 i32 i32)))
  (type (;1;) (func (result i32)))
  (type (;2;) (func))
  (import "arqon_host_v1" "host_log" (func (;0;) (type 0)))
  (import "arqon_host_v1" "host_get_payload" (func (;1;) (type 1)))
  (func (;2;) (type 2)
    global.get 1
    i64.const 15
    i64.sub
    global.set 1
    global.get 1
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    global.get 2
    i32.const 11
    i32.add
    global.set 2
    global.get 2
    i32.const 32768
    i32.gt_u
    if  ;; label = @1
      unreachable
    end
    block  ;; label = @1
      i32.const 1
      i32.const 0
      i32.const 5
      call 3
      ref.func 3
      global.set 0
    end
    global.get 2
    i32.const 11
    i32.sub
    global.set 2)
  (func (;3;) (type 0) (param i32 i32 i32)
    global.get 1
    i64.const 1003
    i64.sub
    global.set 1
    global.get 1
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    global.get 1
    local.get 2
    i64.extend_i32_u
    i64.sub
    global.set 1
    global.get 1
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    local.get 0
    local.get 1
    local.get 2
    call 0)
  (func (;4;) (type 1) (result i32)
    global.get 1
    i64.const 1000
    i64.sub
    global.set 1
    global.get 1
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    call 1)
  (table (;0;) 3 10000 funcref)
  (global (;0;) (mut funcref) (ref.func 4))
  (global (;1;) (mut i64) (i64.const 500))
  (global (;2;) (mut i32) (i32.const 0))
  (export "log" (func 3))
  (export "arqon_fuel" (global 1))
  (export "arqon_height" (global 2))
  (elem (;0;) (i32.const 0) func 3 4 2)
  (elem (;1;) declare func 3))
