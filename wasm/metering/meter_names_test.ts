/** Debug names and custom sections across the metering transform. */
import assert from "node:assert/strict";
import { meter } from "./meter.ts";
import { decodeModule } from "../module/decode.ts";
import { encodeModule } from "../module/encode.ts";
import type { CustomSection, NameSection } from "../module/module.ts";
import { fromText } from "../testing/bytes.ts";

const OPTIONS = { memory_limit_pages: 64 };
const TEXT = `(module
  (import "arqon_host_v1" "host_get_payload" (func $payload (result i32)))
  (global $g (mut i32) (i32.const 0))
  (func $run (export "run") (param $n i32) (local $m i64)
    block
      local.get $n
      if
        nop
        loop
        end
      end
      call $payload
      drop
    end))`;

/** The names that `customs` become behind the transform. */
function metered(customs: readonly CustomSection[], text = TEXT): readonly CustomSection[] {
  const bytes = encodeModule({ ...decodeModule(fromText(text)), customs });
  return decodeModule(meter(bytes, OPTIONS).bytes).customs;
}

function nameSection(names: Partial<NameSection>): CustomSection {
  const all = { module: undefined, functions: undefined, globals: undefined, others: [], ...names };
  return { name: "name", bytes: new Uint8Array(), after: 11, names: all };
}

Deno.test("old names stay and the added functions and globals get theirs", () => {
  const [section] = decodeModule(meter(fromText(TEXT), OPTIONS).bytes).customs;
  assert.deepEqual(section?.names?.functions, [
    [0, "payload"],
    [1, "run"],
    [2, "host_get_payload (paid)"],
  ]);
  assert.deepEqual(section.names.globals, [[0, "g"], [1, "arqon_fuel"], [2, "arqon_height"]]);
  const before = decodeModule(fromText(TEXT)).customs[0]?.names?.others;
  assert.deepEqual(section.names.others, before, "locals and types keep their numbers");
});

Deno.test("a name for a function that the module does not have is dropped", () => {
  const [section] = metered([nameSection({ functions: [[1, "run"], [2, "ghost"], [9, "none"]] })]);
  assert.deepEqual(section?.names?.functions, [[1, "run"], [2, "host_get_payload (paid)"]]);
});

Deno.test("the engine's traces name metered functions as before", () => {
  const { bytes } = meter(
    fromText(`(module (func $inner unreachable)
    (func $outer (export "run") call $inner))`),
    OPTIONS,
  );
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  (exports["arqon_fuel"] as WebAssembly.Global).value = 1000n;
  assert.throws(() => (exports["run"] as CallableFunction)(), (error: Error) => {
    const stack = error.stack ?? "";
    return stack.indexOf("inner") > 0 && stack.indexOf("outer") > stack.indexOf("inner");
  });
});

/** Function 1: label 0 "a", label 1 "b", label 2 "c", as the subsection writes it. */
const LABELS = [1, 1, 3, 0, 1, 0x61, 1, 1, 0x62, 2, 1, 0x63];

Deno.test("label names move behind the blocks that charges add", () => {
  const others = [{ id: 3, bytes: Uint8Array.from(LABELS) }];
  const [section] = metered([nameSection({ others })]);
  const moved = section?.names?.others[0]?.bytes;
  // Before the old block stand the `if` of the entry's charge, that of the height and the body's block.
  // The old `if` comes right behind it, and behind that the charge of its arm.
  assert.deepEqual([...moved ?? []], [1, 1, 3, 3, 1, 0x61, 4, 1, 0x62, 6, 1, 0x63]);
});

Deno.test("label names that are no label names are dropped, and the rest stays", () => {
  const others = [{ id: 3, bytes: Uint8Array.of(9, 9) }, { id: 4, bytes: Uint8Array.of(0) }];
  const [section] = metered([nameSection({ others })]);
  assert.deepEqual(section?.names?.others, [{ id: 4, bytes: Uint8Array.of(0) }]);
});

Deno.test("custom sections stay, except those that count bytes of the code", () => {
  const custom = (name: string): CustomSection => ({
    name,
    bytes: Uint8Array.of(1, 2, 3),
    after: 11,
    names: undefined,
  });
  const kept = ["producers", "target_features", "linking-notes", "mine"];
  const dropped = [".debug_line", "sourceMappingURL", "metadata.code.branch_hint", "reloc.CODE"];
  const after = metered([...kept, ...dropped].map(custom));
  assert.deepEqual(after.map(({ name }) => name), kept);
  assert.ok(after.every(({ bytes }) => bytes.length === 3));
});
