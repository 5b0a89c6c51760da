(module
  (type (;0;) (func (param i32 i32 i32)))
  (type (;1;) (func (result i32)))
  (type (;2;) (func))
  (import "arqon_host_v1" "host_log" (func $log (type 0)))
  (import "arqon_host_v1" "host_get_payload" (func $payload (type 1)))
  (func $run (type 2)
    global.get $arqon_fuel
    i64.const 15
    i64.sub
    global.set $arqon_fuel
    global.get $arqon_fuel
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    global.get $arqon_height
    i32.const 11
    i32.add
    global.set $arqon_height
    global.get $arqon_height
    i32.const 32768
    i32.gt_u
    if  ;; label = @1
      unreachable
    end
    block  ;; label = @1
      i32.const 1
      i32.const 0
      i32.const 5
      call $host_log__paid_
      ref.func $host_log__paid_
      global.set $kept
    end
    global.get $arqon_height
    i32.const 11
    i32.sub
    global.set $arqon_height)
  (func $host_log__paid_ (type 0) (param i32 i32 i32)
    global.get $arqon_fuel
    i64.const 1003
    i64.sub
    global.set $arqon_fuel
    global.get $arqon_fuel
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    global.get $arqon_fuel
    local.get 2
    i64.extend_i32_u
    i64.sub
    global.set $arqon_fuel
    global.get $arqon_fuel
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    local.get 0
    local.get 1
    local.get 2
    call $log)
  (func $host_get_payload__paid_ (type 1) (result i32)
    global.get $arqon_fuel
    i64.const 1000
    i64.sub
    global.set $arqon_fuel
    global.get $arqon_fuel
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    call $payload)
  (table (;0;) 3 10000 funcref)
  (global $kept (mut funcref) (ref.func $host_get_payload__paid_))
  (global $arqon_fuel (mut i64) (i64.const 500))
  (global $arqon_height (mut i32) (i32.const 0))
  (export "log" (func $host_log__paid_))
  (export "arqon_fuel" (global $arqon_fuel))
  (export "arqon_height" (global $arqon_height))
  (elem (;0;) (i32.const 0) func $host_log__paid_ $host_get_payload__paid_ $run)
  (elem (;1;) declare func $host_log__paid_))
