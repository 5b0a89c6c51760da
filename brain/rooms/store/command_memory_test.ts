/** How long and how many commands a room remembers, over any sequence of writes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type MemoryLimits, PAGE_COMMANDS, shed } from "./command_pages.ts";
import { emptyDocument, type RoomDocument } from "./document.ts";

const LIMITS = { command_id_ttl_ms: 600_000, command_ids_per_room: 8_192 };

/** A room as its Brain sees it: the stored document, and the pages beside it. */
class Memory {
  document: RoomDocument = { ...emptyDocument(), epoch: "7" };
  readonly pages = new Map<string, ReadonlySet<string>>();
  forgotten = 0;
  #commands = 0;

  /** One write of `count` commands, with consecutive numbers as names. */
  write(count: number, now_ms: number, limits: MemoryLimits = LIMITS): void {
    const applied = new Map(this.document.applied);
    let { version } = this.document;
    for (let index = 0; index < count; index++) {
      applied.set(String(this.#commands++), {
        version: ++version,
        grant: undefined,
        at_ms: now_ms,
      });
    }
    const lean = shed(this.document, { ...this.document, version, applied }, limits, now_ms);
    for (const { page, commands } of lean.added) {
      assert.ok(!this.pages.has(page.name), "no name is given twice");
      this.pages.set(page.name, new Set(commands.keys()));
    }
    for (const { name } of lean.removed) this.pages.delete(name);
    this.document = lean.document;
    this.forgotten += lean.forgotten;
  }

  has(command: number): boolean {
    const key = String(command);
    return this.document.applied.has(key) || [...this.pages.values()].some((page) => page.has(key));
  }

  get size(): number {
    return [...this.pages.values()].reduce((sum, { size }) => sum + size, 0) +
      this.document.applied.size;
  }
}

Deno.test("a command is remembered for its time, however many others follow", () => {
  const memory = new Memory();
  memory.write(1, 0);
  for (let second = 1; second < 600; second++) memory.write(5, second * 1_000);
  assert.ok(memory.has(0));
  assert.equal(memory.forgotten, 0);
  assert.ok(memory.document.applied.size < 2 * PAGE_COMMANDS, "the document stays small");
  for (let second = 600; second < 900; second++) memory.write(5, second * 1_000);
  assert.ok(!memory.has(0));
  assert.equal(memory.forgotten, 0, "its time was over");
  memory.write(0, 10_000_000);
  assert.equal(memory.size, 0, "expired entries leave nothing behind");
});

Deno.test("more than a room may remember are forgotten before their time, the oldest first, and counted", () => {
  const memory = new Memory();
  const limits = { ...LIMITS, command_ids_per_room: 1_000 };
  for (let write = 0; write < 20; write++) memory.write(100, write, limits);
  assert.ok(memory.size <= 1_000, `${memory.size}`);
  assert.ok(memory.size > 1_000 - PAGE_COMMANDS, `${memory.size}`);
  assert.equal(memory.forgotten, 2_000 - memory.size);
  assert.ok(memory.has(1_999) && memory.has(2_000 - memory.size));
  assert.ok(!memory.has(1_999 - memory.size));
});

Deno.test("a bound below a page is a bound, too", () => {
  const memory = new Memory();
  const limits = { ...LIMITS, command_ids_per_room: 10 };
  for (let write = 0; write < 50; write++) {
    memory.write(30, write, limits);
    assert.equal(memory.size, 10);
    assert.equal(memory.pages.size, 0);
  }
});

Deno.test("two Brains that race for a write cut the same pages", () => {
  const memory = new Memory();
  memory.write(700, 5);
  const base = memory.document;
  const one = shed(base, { ...base, version: 701 }, LIMITS, 6);
  const other = shed(base, { ...base, version: 709 }, LIMITS, 900);
  assert.ok(one.added.length > 0);
  assert.deepEqual(one.added, other.added);
});

Deno.test("any sequence of writes: within time and number nothing is forgotten, nothing is kept twice", () => {
  const writes = fc.array(fc.record({ count: fc.nat(400), rest_ms: fc.nat(100_000) }), {
    maxLength: 40,
  });
  fc.assert(fc.property(writes, (list) => {
    const memory = new Memory();
    const born: number[] = [];
    let now_ms = 0;
    for (const { count, rest_ms } of list) {
      now_ms += rest_ms;
      memory.write(count, now_ms);
      for (let index = 0; index < count; index++) born.push(now_ms);
    }
    const young = born.flatMap((at_ms, command) => at_ms >= now_ms - 600_000 ? [command] : []);
    for (const command of young.slice(-8_192 + PAGE_COMMANDS)) assert.ok(memory.has(command));
    assert.ok(memory.size <= 8_192);
    assert.ok(memory.size <= born.length);
  }));
});
