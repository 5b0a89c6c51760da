/** The shares of filters, with the test's clock. */
import assert from "node:assert/strict";
import { ArqonError, writeEnvelope } from "@arqon/proto";
import type { LogMessage } from "../../shared/spine/contract/durable_log.ts";
import { type HistoryAnswer, readFiltered } from "../durable/history/history.ts";
import { mostInOneTurn } from "../../shared/testing/most_in_one_turn.ts";
import { Filters } from "./filters.ts";
import { MessageView } from "../../shared/filter/message_view.ts";
import { FilterShares } from "./shares.ts";

const LIMITS = {
  filter_chars: 1_000,
  filter_steps: 2_000,
  filters_per_room: 100,
  filters_per_tenant: 1_000,
};

Deno.test("only a tenant that has used up its share is refused, until its debt is repaid", () => {
  let now_ms = 0;
  const shares = new FilterShares(() => now_ms);
  shares.require("a");
  shares.spend("a", 2_500_000);
  assert.throws(() => shares.require("a"), (error) => {
    assert(error instanceof ArqonError);
    assert.equal(error.reason, "rate-limited");
    assert.equal(error.retry_after_ms, 500);
    return true;
  });
  assert.equal(shares.of("a"), "none");
  assert.equal(shares.isOver("a", 0), true);
  shares.require("b");
  assert.equal(shares.of("b"), "room");
  now_ms = 501;
  shares.require("a");
  assert.equal(shares.of("a"), "room");
});

Deno.test("compiling a filter is charged, and a tenant in debt compiles none", () => {
  const now_ms = 0;
  const filters = new Filters(LIMITS, {}, () => now_ms);
  const texts = Array.from(
    { length: 1_000 },
    (_, n) => `data.s.matches("${n}${"(a|b)".repeat(40)}")`,
  );
  const compiled = texts.findIndex((text) => {
    try {
      return filters.of("a", text) === undefined;
    } catch (error) {
      assert.equal((error as ArqonError).reason, "rate-limited");
      return true;
    }
  });
  assert.ok(compiled > 100 && compiled < 900, `${compiled} were compiled`);
  assert.ok(filters.of("b", texts[0]!) !== undefined);
});

/** Each is cheap to judge and expensive to convert to values. */
const LARGE = JSON.stringify(Object.fromEntries(Array.from({ length: 2_000 }, (_, n) => [n, 1])));

for (
  const [what, text, data] of [
    ["judged by expensive filters", `[${"1,".repeat(10)}1].all(x, [1, 2].all(y, x + y > 1))`, "{}"],
    ["of large data", 'data["7"] == 1', LARGE],
  ] as const
) {
  Deno.test(`a page of history ${what} is read in slices, and waits for the tenant's debt`, async () => {
    const event = {
      type: "t",
      content_type: "application/json",
      data: new TextEncoder().encode(data),
    };
    const envelope = writeEnvelope({ room_id: "r", message_id: "m", event });
    const entries = Array.from({ length: 30 }, (_, n) => ({ offset: n + 1, payload: envelope }));
    const filters = new Filters(LIMITS);
    const filter = filters.of("a", text)!;
    const waits: number[] = [];
    let spent = 0;
    const shares = {
      spend: (_: string, steps: number) => void (spent += steps),
      isOver: (tenant: string, steps: number) => filters.shares.isOver(tenant, steps),
      later(_: string, resume: () => void) {
        waits.push(spent);
        spent = 0;
        resume();
      },
    };
    const answer = {
      page: { entries: entries as unknown as LogMessage[], more: false },
      only(seen: readonly LogMessage[]) {
        return { seen };
      },
    } as unknown as HistoryAnswer;
    const range = { after: 0, before: 0, limit: 100, reverse: false };
    const read = () => Promise.resolve(answer);
    const { seen } = await readFiltered(read, range, [filter], {
      tenant_id: "a",
      shares,
    }) as unknown as { seen: readonly unknown[] };
    assert.equal(seen.length, 30);
    assert.ok(waits.length >= 4, `${waits.length} waits`);
    for (const steps of waits) assert.ok(steps < 12_000, `${steps} steps in a slice`);
  });
}

Deno.test("readers of history with cheap filters are served in slices of their tenant", async () => {
  const filters = new Filters(LIMITS);
  const filter = filters.of("a", 'type == "t"')!;
  const payload = writeEnvelope({ room_id: "r", event: { type: "t" } });
  const entries = Array.from({ length: 30 }, (_, n) => ({ offset: n + 1, payload }));
  const answer = {
    page: { entries: entries as unknown as LogMessage[], more: false },
    only(seen: readonly LogMessage[]) {
      return seen;
    },
  } as unknown as HistoryAnswer;
  const range = { after: 0, before: 0, limit: 100, reverse: false };
  const share = { tenant_id: "a", shares: filters.shares };
  const readers = Array.from(
    { length: 32 },
    () => readFiltered(() => Promise.resolve(answer), range, [filter], share),
  );
  assert.ok(await mostInOneTurn(readers) <= 4);
});

Deno.test("values of a large message are charged once for all its filters, and no filter fails because of them", () => {
  const filters = new Filters(LIMITS);
  const event = {
    type: "t",
    content_type: "application/json",
    data: new TextEncoder().encode(LARGE),
  };
  const view = new MessageView(
    writeEnvelope({ room_id: "r", message_id: "m", event }),
    filters.stats.filter_verdicts,
  );
  assert(filters.of("a", 'data["7"] == 1')!.lets(view));
  const first = view.spent_steps;
  assert(first > 4_000, `${first} steps`);
  assert(filters.of("a", 'data["8"] == 1')!.lets(view));
  assert(view.spent_steps - first < 100);
});

Deno.test("unreadable data is charged as a whole, since its end may be the fault", () => {
  const filters = new Filters(LIMITS);
  const data = new TextEncoder().encode(LARGE.slice(0, -1));
  const event = { type: "t", content_type: "application/json", data };
  const view = new MessageView(
    writeEnvelope({ room_id: "r", event }),
    filters.stats.filter_verdicts,
  );
  assert(!filters.of("a", 'data["7"] == 1')!.lets(view));
  assert(view.spent_steps >= data.length / 8, `${view.spent_steps} steps`);
});
