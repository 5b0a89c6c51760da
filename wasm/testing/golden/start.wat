;; A start function pays like any other, out of the fuel that an instance starts with.
(module
  (import "env" "begin" (func $begin))
  (start $begin))
