;; Bulk memory pays one for each begun 16 bytes, in i64.
(module
  (memory 1 9)
  (data $text "hello")
  (func $all (param $size i32)
    i32.const 0
    i32.const 1
    local.get $size
    memory.fill
    i32.const 0
    i32.const 8
    local.get $size
    memory.copy
    i32.const 0
    i32.const 0
    local.get $size
    memory.init $text
    data.drop $text))
