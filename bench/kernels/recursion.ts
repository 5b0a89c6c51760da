// Calls that do nothing else: metering keeps the engine from inlining, so this is where it costs most.

/** There is nothing to prepare. */
export function prepare(): void {}

function fibonacci(n: i32): i32 {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

/** 21,891 calls, 20 deep. */
export function run(): i32 {
  return fibonacci(20);
}
