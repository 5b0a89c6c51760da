/** The chain of the audit log: whatever is done to its entries shows, and where. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Anchor, ChainCheck } from "./chain.ts";
import { type AuditFields, encodeEntry, entryHash, NO_HASH } from "./entry.ts";

const FIELDS: AuditFields = {
  request: "r1",
  outcome: "done",
  action: "policy.deploy",
  tenant: "acme",
  by: "ann",
  by_tenant: "acme",
  operator: false,
  from: "127.0.0.1",
  method: "POST",
  path: "/v1/policies/deploy",
  about: { name: "no-spam" },
  status: 200,
  reason: null,
  count: 1,
};

/** Entries `from` to `to`, as a Shield would have stored them. */
function chain(to: number, from = 1): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let previous = NO_HASH;
  for (let seq = 1; seq <= to; seq++) {
    const place = { seq, previous, at_ms: 1_000 * seq, node: "shield-1" };
    const bytes = encodeEntry(place, { ...FIELDS, request: `r${seq}` });
    previous = entryHash(bytes);
    if (seq >= from) entries.push(bytes);
  }
  return entries;
}

function checked(entries: readonly Uint8Array[], anchor?: Anchor): ChainCheck {
  const check = new ChainCheck(anchor);
  for (const bytes of entries) check.take(bytes);
  check.end();
  return check;
}

const anchorOf = (entries: readonly Uint8Array[], seq: number): Anchor => ({
  seq,
  hash: entryHash(entries[seq - 1]!),
});
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (value: string) => new TextEncoder().encode(value);

Deno.test("a complete chain, its end, one without its beginning, and an empty one", () => {
  const whole = checked(chain(20));
  assert.deepEqual([whole.broken, whole.entries, whole.first?.seq, whole.last?.seq], [
    undefined,
    20,
    1,
    20,
  ]);
  const end = checked(chain(20, 8), anchorOf(chain(20), 20));
  assert.deepEqual([end.broken, end.entries, end.first?.seq], [undefined, 13, 8]);
  assert.deepEqual([checked([]).broken, checked([]).last], [undefined, undefined]);
});

Deno.test("the first entry that does not fit is named", () => {
  const entries = chain(20);
  const cases: readonly (readonly [string, readonly Uint8Array[], number])[] = [
    ["a byte", entries.with(6, bytes(text(entries[6]!).replace("ann", "bob"))), 7],
    ["left out", entries.toSpliced(6, 1), 7],
    ["three left out", entries.toSpliced(6, 3), 7],
    ["twice", entries.toSpliced(6, 0, entries[5]!), 6],
    ["two changed places", entries.with(6, entries[7]!).with(7, entries[6]!), 7],
    ["no JSON", entries.with(6, bytes("{}}")), 7],
    ["no entry", entries.with(6, bytes("{}")), 7],
    ["another number", entries.with(6, bytes(text(entries[6]!).replace('"seq":7', '"seq":9'))), 7],
    ["white space", entries.with(6, bytes(text(entries[6]!).replace(":", ": "))), 7],
  ];
  for (const [what, changed, seq] of cases) {
    const { broken } = checked(changed);
    assert.equal(broken?.seq, seq, `${what}: ${JSON.stringify(broken)}`);
    assert.notEqual(broken?.problem, "");
  }
  const first = bytes(text(entries[0]!).replace(NO_HASH, "1".repeat(64)));
  assert.equal(checked([first]).broken?.seq, 1);
});

Deno.test("changes of the newest entries are only detected by an anchor", () => {
  const entries = chain(20);
  const anchor = anchorOf(entries, 20);
  const changed = entries.with(19, bytes(text(entries[19]!).replace("ann", "bob")));
  for (const cut of [entries.slice(0, 19), entries.slice(0, 3), changed]) {
    assert.equal(checked(cut).broken, undefined);
    assert.equal(checked(cut, anchor).broken?.seq, 20);
  }
  assert.equal(checked([], anchor).broken?.seq, 20);
  // A forged complete chain.
  const other = new ChainCheck(anchorOf(entries, 7));
  let previous = NO_HASH;
  for (let seq = 1; seq <= 20; seq++) {
    const made = encodeEntry({ seq, previous, at_ms: 5, node: "x" }, FIELDS);
    previous = entryHash(made);
    other.take(made);
  }
  assert.equal(other.end()?.seq, 7);
  // The log has expired it, so it is unknown.
  assert.match(checked(chain(20, 10), anchorOf(entries, 7)).broken?.problem ?? "", /begins with/);
});

Deno.test("any byte of any entry but the newest counts", () => {
  const entries = chain(6);
  fc.assert(
    fc.property(fc.nat(4), fc.nat(), fc.integer({ min: 1, max: 255 }), (at, where, mask) => {
      const changed = entries[at]!.slice();
      changed[where % changed.length]! ^= mask;
      const { broken } = checked(entries.with(at, changed));
      assert.ok(broken !== undefined && broken.seq <= at + 2 && broken.seq >= 0);
    }),
  );
});
