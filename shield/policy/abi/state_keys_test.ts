/** How a module declares its state; that call can do nothing else. */
import assert from "node:assert/strict";
import { declares, FOREVER, type GuestText, meteredGuest } from "../testing/guests.ts";
import { Compiler } from "../modules/compile.ts";
import { stateKeysText } from "../../../wasm/instance/state_keys.ts";

const KEYS = [{ key: "{user}", ttl_seconds: 60, value_bytes: 16 }];
const compiled = (guest: Partial<GuestText>) =>
  new WebAssembly.Module(meteredGuest({ abi: 2, body: "i32.const 0", ...guest }));
const declaring = (body: string, more = "") => ({
  more: `${more} (func (export "arqon_state_keys") (result i32) ${body})`,
});

Deno.test("a module of version 2 is asked for its declaration; other modules have none", () => {
  assert.deepEqual(JSON.parse(stateKeysText(compiled({ more: declares(KEYS) }))), KEYS);
  assert.equal(stateKeysText(compiled({})), "");
  assert.equal(stateKeysText(compiled({ abi: 1, more: declares(KEYS) })), "");
});

Deno.test("a module's initialisation runs before its declaration", () => {
  const init = `(func (export "arqon_init") (i32.store (i32.const 8) (i32.const 2))
    (i32.store16 (i32.const 12) (i32.const 0x5d5b)))`;
  assert.equal(stateKeysText(compiled(declaring("i32.const 8", init))), "[]");
});

const BAD: Readonly<Record<string, readonly [guest: Partial<GuestText>, sentence: RegExp]>> = {
  "never ends": [declaring(FOREVER), /arqon_state_keys fails: .*unreachable/],
  "calls the host": [declaring("(call $get_payload)"), /it called the host/],
  "returns nothing": [declaring("i32.const 0"), /returns 0, which is no value/],
  "points outside": [declaring("i32.const -3"), /returns 4294967293, which is no value/],
  "returns too much": [
    declaring("(i32.store (i32.const 8) (i32.const 4097)) i32.const 8"),
    /gives 4097 bytes; at most 4096/,
  ],
  "returns bytes outside its memory": [
    declaring("(i32.store (i32.const 65528) (i32.const 100)) i32.const 65528"),
    /gives 100 bytes; .*in its memory/,
  ],
  "returns invalid text": [
    declaring(
      "(i32.store (i32.const 8) (i32.const 4)) (i32.store (i32.const 12) (i32.const -1)) i32.const 8",
    ),
    /arqon_state_keys fails: /,
  ],
};

for (const [what, [guest, sentence]] of Object.entries(BAD)) {
  Deno.test(`a module whose declaration ${what} is refused with a sentence`, () => {
    assert.throws(() => stateKeysText(compiled(guest)), sentence);
  });
}

Deno.test("a trial compilation returns the declaration, or refuses a module whose declaration fails", async () => {
  const compiler = new Compiler();
  const guest = { abi: 2, body: "i32.const 0" } as const;
  const good = meteredGuest({ ...guest, more: declares(KEYS) });
  assert.deepEqual(JSON.parse((await compiler.compile("good", good)).state_keys), KEYS);
  const plain = await compiler.compile("plain", meteredGuest(guest));
  assert.equal(plain.state_keys, "");
  const bad = meteredGuest({ ...guest, ...declaring(FOREVER) });
  const problem = { reason: "state-keys", message: /arqon_state_keys fails/ };
  await assert.rejects(compiler.compile("bad", bad), { name: "PolicyModuleError", ...problem });
});
