(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (param i32)))
  (type (;2;) (func))
  (import "arqon_host_v2" "host_get_payload" (func $payload (type 0)))
  (func $write (type 1) (param i32)
    global.get $arqon_fuel
    i64.const 14
    i64.sub
    global.set $arqon_fuel
    global.get $arqon_fuel
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    local.get 0
    global.set $count
    f64.const nan (;=nan;)
    global.set $float
    ref.func $write
    global.set $function)
  (func $host_get_payload__paid_ (type 0) (result i32)
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
  (func (;3;) (type 2)
    global.get $count
    global.set 7
    global.get $float
    global.set 8
    global.get $function
    global.set 9)
  (func (;4;) (type 2)
    global.get 7
    global.set $count
    global.get 8
    global.set $float
    global.get 9
    global.set $function)
  (global $fixed i64 (i64.const 7))
  (global $count (mut i32) (i32.const 1))
  (global $unset (mut i32) (i32.const 2))
  (global $float (mut f64) (f64.const 0x1.8p+1 (;=3;)))
  (global $function (mut funcref) (ref.null func))
  (global $arqon_fuel (mut i64) (i64.const 500))
  (global $arqon_height (mut i32) (i32.const 0))
  (global (;7;) (mut i32) (i32.const 0))
  (global (;8;) (mut f64) (f64.const 0x0p+0 (;=0;)))
  (global (;9;) (mut funcref) (ref.null func))
  (export "write" (func $write))
  (export "arqon_fuel" (global $arqon_fuel))
  (export "arqon_height" (global $arqon_height))
  (export "arqon_save" (func 3))
  (export "arqon_restore" (func 4)))
