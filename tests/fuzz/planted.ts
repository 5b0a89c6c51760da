/** Decoders with a fault, for the test of the fuzzer itself. Never among the targets that `main.ts` runs. */
import { type MakeTarget, type Target, utf8 } from "./target.ts";

const held: Uint8Array[] = [];

function planted(name: string, run: (bytes: Uint8Array) => void): MakeTarget {
  const target: Target = {
    name,
    weight: 1,
    seeds: [utf8("seed one"), utf8("seed two")],
    words: [],
    bytes_max: 64,
    run,
    isRefusal: (error) => error instanceof TypeError,
  };
  return () => target;
}

/** By name: throws the wrong error, hangs, ends the process, leaks its input. */
export const PLANTED: Readonly<Record<string, MakeTarget>> = {
  "planted-throw": planted("planted-throw", (bytes) => {
    if (bytes.length < 3) throw new RangeError("too short");
    throw new TypeError("refused");
  }),
  "planted-hang": planted("planted-hang", (bytes) => {
    while (bytes.length < 3);
  }),
  "planted-exit": planted("planted-exit", (bytes) => {
    if (bytes.length < 3) Deno.exit(7);
  }),
  "planted-growth": planted("planted-growth", () => void held.push(new Uint8Array(65_536))),
};
