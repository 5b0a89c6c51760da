(module
  (type (;0;) (func (param i32)))
  (func (;0;) (type 0) (param i32)
    global.get 0
    i64.const 11
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end
    block  ;; label = @1
      block  ;; label = @2
        block  ;; label = @3
          local.get 0
          br_table 0 (;@3;) 1 (;@2;) 2 (;@1;)
        end
        global.get 0
        i64.const 4
        i64.sub
        global.set 0
        global.get 0
        i64.const 0
        i64.lt_s
        if  ;; label = @3
          unreachable
        end
        i32.const 10
        drop
        br 1 (;@1;)
      end
      global.get 0
      i64.const 2
      i64.sub
      global.set 0
      global.get 0
      i64.const 0
      i64.lt_s
      if  ;; label = @2
        unreachable
      end
      i32.const 20
      drop
    end)
  (global (;0;) (mut i64) (i64.const 500))
  (global (;1;) (mut i32) (i32.const 0))
  (export "arqon_fuel" (global 0))
  (export "arqon_height" (global 1)))
