(module
  (type (;0;) (func (result i32)))
  (func $get (type 0) (result i32)
    global.get $arqon_fuel
    i64.const 6
    i64.sub
    global.set $arqon_fuel
    global.get $arqon_fuel
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    global.get $mine)
  (global $mine i32 (i32.const 7))
  (global $arqon_fuel (mut i64) (i64.const 500))
  (global $arqon_height (mut i32) (i32.const 0))
  (export "mine" (global $mine))
  (export "arqon_fuel" (global $arqon_fuel))
  (export "arqon_height" (global $arqon_height)))
