/** Command lines of long tasks: what is right is read, what is wrong is named with what would be right. */
import assert from "node:assert/strict";
import { UsageError } from "../../bench/measure/scenario.ts";
import {
  amount,
  flag,
  helpOf,
  maybe,
  names,
  oneOf,
  readArguments,
  seed,
} from "./task_arguments.ts";
import { whole } from "./task_arguments.ts";

const USAGE = {
  command: "deno task try",
  about: "Tries.",
  options: {
    clients: whole(500, "how many", { low: 20 }),
    nice: whole(19, "their niceness", { low: 0, high: 19 }),
    rate: amount(5, "a second"),
    "idle-minutes": amount(60, "how long", { or_none: true }),
    minutes: maybe(whole(2, "instead of seconds")),
    engine: oneOf(["nats", "embedded"], "nats", "of the Spine"),
    skip: names("these not"),
    seed: seed(),
    short: flag("in small"),
  },
};

const read = (...args: string[]) => readArguments(USAGE, args);

Deno.test("what is not given has its initial value", () => {
  const { seed, ...rest } = read() ?? assert.fail();
  assert.ok(Number.isSafeInteger(seed) && seed >= 0);
  assert.deepEqual(rest, {
    clients: 500,
    nice: 19,
    rate: 5,
    "idle-minutes": 60,
    minutes: undefined,
    engine: "nats",
    skip: [],
    short: false,
  });
});

Deno.test("what is given is read as what it is", () => {
  const { seed, ...rest } = read(
    ...["--clients", "20", "--nice=0", "--rate", "0.5", "--idle-minutes", "0", "--minutes", "3"],
    ...["--engine", "embedded", "--skip", "7,storm,", "--short", "--seed", "0"],
  ) ?? assert.fail();
  assert.equal(seed, 0);
  assert.deepEqual(rest, {
    clients: 20,
    nice: 0,
    rate: 0.5,
    "idle-minutes": 0,
    minutes: 3,
    engine: "embedded",
    skip: ["7", "storm"],
    short: true,
  });
});

Deno.test("an error names the option, its value and what would be right", () => {
  const wrong: readonly (readonly [args: readonly string[], message: string])[] = [
    [["--clients", "19"], '--clients is "19"; expected a whole number of at least 20'],
    [["--clients", "many"], '--clients is "many"; expected a whole number of at least 20'],
    [["--clients", "20.5"], '--clients is "20.5"; expected a whole number of at least 20'],
    [["--clients", "9007199254740992"], '"9007199254740992"; expected a whole number of at least'],
    [["--nice", "20"], '--nice is "20"; expected a whole number from 0 to 19'],
    [["--nice="], '--nice is ""; expected a whole number from 0 to 19'],
    [["--rate", "0"], '--rate is "0"; expected a number above 0'],
    [["--rate", "Infinity"], '--rate is "Infinity"; expected a number above 0'],
    [["--idle-minutes=-1"], '--idle-minutes is "-1"; expected a number of at least 0'],
    [["--idle-minutes", " "], '--idle-minutes is " "; expected a number of at least 0'],
    [["--minutes", "0"], '--minutes is "0"; expected a whole number of at least 1'],
    [["--engine", "redis"], '--engine is "redis"; expected nats or embedded'],
    [["--engine="], '--engine is ""; expected nats or embedded'],
    [["--clinets", "20"], "--clinets"],
    [["--clients"], "--clients"],
    [["--short=yes"], "--short"],
    [["20"], "20"],
  ];
  for (const [args, message] of wrong) {
    assert.throws(() => read(...args), (error) => {
      assert.ok(error instanceof UsageError, `${error}`);
      assert.ok(error.message.includes(message), `${args.join(" ")}: ${error.message}`);
      assert.ok(error.message.endsWith("; see deno task try --help"), error.message);
      return true;
    });
  }
});

Deno.test("help is asked for beside anything else, and names each option with what it is without", () => {
  assert.equal(read("--help"), undefined);
  assert.equal(read("-h", "--clients", "1"), undefined);
  assert.equal(
    helpOf(USAGE),
    `Usage: deno task try [options]

Tries.

Options:
  --clients N       how many (500)
  --nice N          their niceness (19)
  --rate N          a second (5)
  --idle-minutes N  how long (60)
  --minutes N       instead of seconds
  --engine WORD     of the Spine (nats)
  --skip A,B        these not
  --seed N          the same again: the seed that a run has printed (another each time)
  --short           in small
  --help            this text`,
  );
});
