/** Which of a process's file descriptors clients may use; the system assigns the lowest free one. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Descriptors, descriptorsBy, FileReserve } from "./file_reserve.ts";
import { placeholder } from "../process/asked_files.ts";

/** The descriptors of a process with a limit. */
class Table implements Descriptors {
  readonly #limit: number;
  readonly #open = new Set<number>();

  constructor(limit: number, used: number) {
    this.#limit = limit;
    for (let number = 0; number < used; number++) this.open();
  }

  get free(): number {
    return this.#limit - this.#open.size;
  }

  open(): number {
    for (let number = 0; number < this.#limit; number++) {
      if (!this.#open.has(number)) return this.#open.add(number), number;
    }
    throw Object.assign(new Error("too many open files"), { code: "EMFILE" });
  }

  close(number: number): void {
    assert(this.#open.delete(number));
  }
}

const USED = 30;

/** A step: clients arrive in one turn, some leave, others open a file or close it. */
const event = fc.oneof(
  fc.record({ kind: fc.constant("come" as const), count: fc.integer({ min: 1, max: 60 }) }),
  fc.record({ kind: fc.constant("leave" as const), which: fc.nat() }),
  fc.record({ kind: fc.constant("open" as const) }),
  fc.record({ kind: fc.constant("close" as const), which: fc.nat() }),
);

Deno.test("clients leave the reserve free, whatever others open and close", () => {
  const run = fc.property(
    fc.integer({ min: 200, max: 900 }),
    fc.integer({ min: 1, max: 80 }),
    fc.array(event, { maxLength: 120 }),
    (limit, count, events) => {
      const table = new Table(limit, USED);
      const reserve = new FileReserve(count, table);
      assert.equal(reserve.files, Math.min(count, Math.floor((limit - USED) / 2)));
      const clients: number[] = [];
      const others: number[] = [];
      for (const event of events) {
        if (event.kind === "come") {
          const came: number[] = [];
          while (came.length < event.count && table.free > 0) came.push(table.open());
          const rooms = reserve.rooms(came.length);
          assert.equal(rooms.length, came.length);
          let spare = 0;
          for (const [index, number] of came.entries()) {
            const is_in = rooms[index] === "plenty" || rooms[index] === "little";
            if (is_in) clients.push(number);
            else table.close(number);
            if (rooms[index] === "spare") spare++;
          }
          assert(spare <= reserve.spare, `${spare} of ${reserve.spare} reserved ones are lent`);
          // Others keep the descriptors they took from the reserve.
          const least = Math.min(reserve.files, limit - USED - others.length);
          if (came.length > 0) {
            assert(table.free >= least - others.length, `${table.free} are free`);
          }
          // No client is rejected without need.
          const away = rooms.length -
            rooms.filter((room) => room === "plenty" || room === "little").length;
          if (away > 0) {
            assert(table.free <= reserve.files + others.length, `${table.free} are free`);
          }
        } else if (event.kind === "leave" && clients.length > 0) {
          table.close(clients.splice(event.which % clients.length, 1)[0] as number);
        } else if (event.kind === "open" && table.free > 0) {
          others.push(table.open());
        } else if (event.kind === "close" && others.length > 0) {
          table.close(others.splice(event.which % others.length, 1)[0] as number);
        }
      }
    },
  );
  fc.assert(run, { numRuns: 300 });
});

Deno.test("as many clients get in as the reserve leaves, to the last", () => {
  const table = new Table(2_000, USED);
  const reserve = new FileReserve(256, table);
  const rooms: string[] = [];
  for (let came = 0; came < 1_900; came++) {
    table.open();
    rooms.push(reserve.rooms(1)[0] as string);
  }
  const count = (room: string) => rooms.filter((one) => one === room).length;
  assert.deepEqual([count("plenty"), count("little")], [2_000 - 256 - 64 - USED, 64]);
  assert.equal(rooms.indexOf("spare"), 2_000 - 256 - USED);
  assert.equal(count("spare"), 64);
});

Deno.test("without a readable file, or without numbers, the reserve rejects no client", () => {
  const reserve = new FileReserve(5, undefined);
  assert.deepEqual([reserve.files, reserve.rooms(2)], [0, ["plenty", "plenty"]]);
  const unreadable = {
    open(): number {
      throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    },
    close() {},
  };
  assert.deepEqual(new FileReserve(5, unreadable).rooms(1), ["plenty"]);
});

Deno.test("a process knows whether clients use descriptors", () => {
  const path = placeholder();
  assert(path !== undefined);
  const reserve = new FileReserve(5, descriptorsBy(path));
  assert.equal(reserve.files, 5);
  let open = 0;
  reserve.join(() => open);
  assert.equal(reserve.isHeld(), false);
  open = 1;
  assert.equal(reserve.isHeld(), true);
});
