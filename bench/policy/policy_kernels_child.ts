/**
 * A program that times kernels and the bad-words policy under the compiler that its flags leave, and prints
 * JSON. `policy_kernels.ts` starts it and judges.
 */
import { meter } from "../../wasm/metering/meter.ts";
import { FUEL_EXPORT, HEIGHT_EXPORT } from "../../wasm/metering/meter_costs.ts";
import { instantiateGuest } from "../../shield/policy/abi/host_abi.ts";
import type { KernelModule, KernelTimes } from "./policy_kernels.ts";
import { chatPayload } from "./policy_rows.ts";

interface Input {
  readonly rounds: number;
  readonly modules: readonly KernelModule[];
  readonly bad_words: string;
}

/**
 * Time of one measurement in ms: long beside a step of the clock, short beside the machine's disturbances.
 */
const ROUND_MS = 4;
const PLENTY = 1n << 60n;

interface Variable<T> {
  value: T;
}

/** One form of a kernel. */
interface Form {
  /** Runs the kernel so many times. */
  run(times: number): void;
  result(): number;
  units(): number;
}

function formOf(base64: string): Form {
  const module = new WebAssembly.Module(Uint8Array.fromBase64(base64));
  const { exports } = new WebAssembly.Instance(module, {});
  const fuel = exports[FUEL_EXPORT] as unknown as Variable<bigint> | undefined;
  const height = exports[HEIGHT_EXPORT] as unknown as Variable<number> | undefined;
  const run = exports["run"] as () => number;
  if (fuel !== undefined) fuel.value = PLENTY;
  (exports["prepare"] as () => void)();
  const enter = () => {
    if (fuel !== undefined) fuel.value = PLENTY;
    if (height !== undefined) height.value = 0;
  };
  return {
    run(times) {
      enter();
      for (let count = 0; count < times; count++) run();
    },
    result() {
      enter();
      return run();
    },
    units() {
      enter();
      run();
      return fuel === undefined ? 0 : Number(PLENTY - fuel.value);
    },
  };
}

function time(form: Pick<Form, "run">, times: number): number {
  const began_ms = performance.now();
  form.run(times);
  return (performance.now() - began_ms) * 1e6 / times;
}

/** The number of runs that take `ROUND_MS`. By then the form is compiled and its data is in the cache. */
function timesFor(form: Pick<Form, "run">): number {
  for (let times = 1;; times *= 2) {
    if (time(form, times) * times >= ROUND_MS * 1e6) return times;
  }
}

function measure({ name, plain, metered }: KernelModule, rounds: number): KernelTimes {
  const [before, after] = [formOf(plain), formOf(metered)];
  if (before.result() !== after.result()) throw new Error(`${name}: metering changed the result`);
  const times = timesFor(before);
  timesFor(after);
  const plain_ns: number[] = [];
  const metered_ns: number[] = [];
  for (let round = 0; round < rounds; round++) {
    plain_ns.push(time(before, times));
    metered_ns.push(time(after, times));
  }
  return { name, units: after.units(), plain_ns, metered_ns };
}

/** Measures the policy as a Shield calls it, with host and copies. It has no plain form. */
function measurePolicy(base64: string, rounds: number): KernelTimes {
  const bytes = meter(Uint8Array.fromBase64(base64), { memory_limit_pages: 64 }).bytes;
  const guest = instantiateGuest({ compiled: new WebAssembly.Module(bytes) });
  const payload = chatPayload(4_096);
  const request = { payload, header: () => undefined, claim: () => undefined };
  const call = () => guest.call("on_message", request, 100_000);
  const { units, allowed } = call();
  if (!allowed) throw new Error("bad words: a clean message was refused");
  const form = {
    run(times: number) {
      for (let count = 0; count < times; count++) call();
    },
  };
  const times = timesFor(form);
  const metered_ns: number[] = [];
  for (let round = 0; round < rounds; round++) metered_ns.push(time(form, times));
  return { name: "bad words 4 KiB", units, metered_ns };
}

if (import.meta.main) {
  const { rounds, modules, bad_words }: Input = await new Response(Deno.stdin.readable).json();
  const results = modules.map((module) => measure(module, rounds));
  results.push(measurePolicy(bad_words, rounds));
  console.log(JSON.stringify(results));
}
