/** Due times of schedules: compared with the package's own reading of cron, and with a plain count. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Cron } from "croner";
import { dueAfter, whenProblem } from "./schedule.ts";

const at = (text: string) => Date.parse(text);

Deno.test("a periodic schedule is due at its first time and after each period", () => {
  const gaps = fc.record({
    from_ms: fc.integer({ min: 0, max: 2 ** 45 }),
    every_ms: fc.integer({ min: 1_000, max: 10 ** 10 }),
    ahead_ms: fc.integer({ min: -(10 ** 10), max: 10 ** 11 }),
  });
  fc.assert(fc.property(gaps, ({ from_ms, every_ms, ahead_ms }) => {
    const after_ms = Math.max(0, from_ms + ahead_ms);
    const due_ms = dueAfter({ every_ms, from_ms }, after_ms)!;
    assert.ok(due_ms > after_ms || (due_ms === from_ms && from_ms > after_ms));
    assert.equal((due_ms - from_ms) % every_ms, 0);
    assert.ok(due_ms === from_ms || due_ms - every_ms <= after_ms);
  }));
});

Deno.test("a one-time schedule is due once", () => {
  assert.equal(dueAfter({ at_ms: 5_000 }, 4_999), 5_000);
  assert.equal(dueAfter({ at_ms: 5_000 }, 5_000), undefined);
  assert.equal(dueAfter({ every_ms: 1_000, from_ms: 0, until_ms: 3_000 }, 2_000), 3_000);
  assert.equal(dueAfter({ every_ms: 1_000, from_ms: 0, until_ms: 3_000 }, 3_000), undefined);
});

Deno.test("cron follows the clock of its zone, also across clock changes", () => {
  const daily = { cron: "30 9 * * 1-5", zone: "Europe/Berlin" };
  // Friday in winter, then Monday, the first day of summer time.
  assert.equal(dueAfter(daily, at("2027-03-26T00:00:00Z")), at("2027-03-26T08:30:00Z"));
  assert.equal(dueAfter(daily, at("2027-03-26T08:30:00Z")), at("2027-03-29T07:30:00Z"));
  assert.equal(
    dueAfter({ cron: "*/5 * * * * *" }, at("2027-01-01T00:00:01Z")),
    at("2027-01-01T00:00:05Z"),
  );
  assert.equal(
    dueAfter({ cron: "@hourly", zone: "Europe/Berlin" }, at("2026-10-25T00:30:00Z")),
    at("2026-10-25T01:00:00Z"),
  );
});

/** The due times within twelve hours, as UTC without the date. */
function dueInNight(cron: string, zone: string, from: string): string {
  const times: string[] = [];
  for (let ms = at(from); (ms = dueAfter({ cron, zone }, ms)!) < at(from) + 43_200_000;) {
    times.push(new Date(ms).toISOString().slice(11, 16));
  }
  return times.join(" ");
}

Deno.test("times that an expression names are due once where the clock leaves them out or repeats them", () => {
  const spring = "2026-03-28T20:00:00Z";
  const autumn = "2026-10-24T20:00:00Z";
  for (
    const [cron, from, expected] of [
      ["30 2 * * *", spring, "01:00"],
      ["59 2 * * *", spring, "01:00"],
      ["30 2,14 * * *", spring, "01:00"],
      ["0,30 2 * * *", spring, "01:00"],
      ["0 2-4 * * *", spring, "01:00 02:00"],
      ["0 15 0-6/2 * * *", spring, "23:15 01:00 02:15 04:15"],
      ["0 2,14 * * *", autumn, "00:00"],
      ["0,30 2 * * *", autumn, "00:00 00:30"],
      ["15 0 1-4 * * *", autumn, "23:00 00:00 02:00 03:00"],
      // These follow the wall clock.
      ["*/30 2 * * *", spring, ""],
      ["*/30 2 * * *", autumn, "00:00 00:30 01:00 01:30"],
      ["0 */2 * * *", spring, "21:00 23:00 02:00 04:00 06:00"],
    ] as const
  ) assert.equal(dueInNight(cron, "Europe/Berlin", from), expected, cron);
  assert.equal(dueInNight("30 1,13 * * *", "America/New_York", "2026-10-31T20:00:00Z"), "05:30");
  // The clock jumps over midnight.
  assert.equal(dueInNight("30 23 * * *", "America/Nuuk", spring), "01:00");
  // The start is within the repeated hour.
  assert.equal(
    dueAfter({ cron: "45 2,3 * * *", zone: "Europe/Berlin" }, at("2026-10-25T01:10:00Z")),
    at("2026-10-25T02:45:00Z"),
  );
});

Deno.test("an invalid time is refused with the member", () => {
  const problem = (when: Parameters<typeof whenProblem>[0]) => whenProblem(when)?.path;
  assert.equal(problem({ at_ms: 1 }), undefined);
  assert.equal(problem({}), "at_ms");
  assert.equal(problem({ at_ms: 1, every_ms: 1_000 }), "at_ms");
  assert.equal(problem({ at_ms: 1, from_ms: 1 }), "from_ms");
  assert.equal(problem({ every_ms: 1_000, zone: "UTC" }), "zone");
  assert.equal(problem({ cron: "* * * * *", zone: "Mars/Olympus" }), "zone");
  assert.equal(problem({ cron: "61 * * * *" }), "cron");
  assert.equal(problem({ cron: "every day" }), "cron");
});

const list = (one: fc.Arbitrary<string | number>) =>
  fc.oneof(
    fc.constant("*"),
    fc.array(one, { minLength: 1, maxLength: 3 }).map((all) => all.join(",")),
  );
const day = fc.oneof(
  fc.integer({ min: 1, max: 31 }),
  fc.constantFrom("1-7", "*/9", "15W", "1W", "31W", "28-31", "L"),
);
const weekday = fc.constantFrom("0", "1-5", "6", "sun", "1#1", "1#5", "3#2", "5L", "6-7");

Deno.test("the days of an expression equal those of the package", () => {
  const expressions = fc.record({
    minute: fc.constantFrom("0", "*/20", "7,40"),
    hour: fc.constantFrom("0", "*", "*/6", "2,3", "23"),
    day: fc.oneof(list(day), fc.constant("LW")),
    month: list(fc.constantFrom(1, 2, 3, 10, "dec")),
    weekday: fc.tuple(fc.constantFrom("", "", "+"), list(weekday)).map((both) => both.join("")),
    after_ms: fc.integer({ min: at("2025-01-01T00:00:00Z"), max: at("2028-12-31T00:00:00Z") }),
  });
  fc.assert(
    fc.property(expressions, ({ minute, hour, day, month, weekday, after_ms }) => {
      const cron = `${minute} ${hour} ${day} ${month} ${weekday}`;
      const year = new Date(after_ms).getUTCFullYear();
      let expected: number | undefined;
      try {
        // The package would search four hundred years.
        const bounded = new Cron(`0 ${cron} ${year}-${year + 9}`, { timezone: "UTC" });
        expected = bounded.nextRun(new Date(after_ms))?.getTime();
      } catch {
        return assert.equal(whenProblem({ cron })?.path, "cron");
      }
      const bound = { cron, until_ms: Date.UTC(year + 10, 0, 1) - 1 };
      assert.equal(dueAfter(bound, after_ms), expected, cron);
    }),
    { numRuns: 300 },
  );
});

Deno.test("an expression that is never due is detected after one check of each month of forty years", () => {
  const { UTC } = Date;
  let looks = 0;
  Date.UTC = (...fields) => {
    looks++;
    return UTC(...fields);
  };
  try {
    for (
      const cron of [
        "0 0 30 2 *",
        "*/5 * 31 2,4,6,9,11 *",
        "0 0 1-28 * +0#5,1#5,2#5,3#5,4#5,5#5,6#5",
        "0 0 0 30 2 * 1-9999",
      ]
    ) {
      for (const zone of ["UTC", "Europe/Berlin"]) {
        looks = 0;
        assert.equal(whenProblem({ cron, zone }), undefined);
        assert.equal(dueAfter({ cron, zone }, at("2026-11-29T00:00:00Z")), undefined);
        assert.ok(looks <= 40 * 12 + 100, `${cron}: ${looks} looks`);
      }
    }
    // The rarest match.
    const leap = dueAfter({ cron: "0 0 29 2 +1" }, at("2072-03-01T00:00:00Z"));
    assert.equal(leap, at("2112-02-29T00:00:00Z"));
  } finally {
    Date.UTC = UTC;
  }
});
