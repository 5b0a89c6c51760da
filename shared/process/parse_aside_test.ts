/** A configuration of any size is parsed beside the work of its process, and is the same as one parsed at once. */
import assert from "node:assert/strict";
import process from "node:process";
import { classesHash } from "../config/classes_hash.ts";
import { type ConfigTables, RoomClasses } from "../rooms/classes.ts";
import { keptLog } from "../testing/logs.ts";
import { turnsDuring } from "../testing/turns_during.ts";
import { until } from "../testing/until.ts";
import { ConfigError, configText, parseConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { LiveConfig } from "../config/live/live_config.ts";
import { parseAside } from "./parse_aside.ts";
import { ConfigReload } from "../config/live/reload.ts";

const FILE = { file: "c.toml", defaults: { host: "127.0.0.1", operator_tenants: ["ops"] } };
const utf8 = new TextEncoder();

const classesText = (count: number, more = "", tenantOf = (_at: number) => "*") =>
  Array.from(
    { length: count },
    (_, at) => `[[rooms]]\ntenant = "${tenantOf(at)}"\nroom = "r-${at}-*"\n${more}\n`,
  ).join("");

Deno.test("a large configuration is parsed in turns with others, and is the same as one parsed at once", async () => {
  const text = classesText(2_000, "filter = 'headers[\"team\"] in claims.teams'\nreplicas = 3") +
    `[limits]\nhandshakes_per_second = 300\n[usage]\nprices = { fuel = 0.5 }\n[brain]\ntap = true\n`;
  const expected = parseConfig(text, FILE);
  const { value, turns } = await turnsDuring(() => parseAside(utf8.encode(text), FILE));
  assert.deepEqual(value, JSON.parse(JSON.stringify(expected)));
  assert.equal(classesHash(value.rooms), classesHash(expected.rooms));
  assert(turns > 40, `${turns} turns`);
});

Deno.test("a fault in a large file is reported as in a small one, and a file above the limit is not parsed", async () => {
  const bytes = utf8.encode(`${classesText(500)}[limits]\nconnections_per_use = 1\n`);
  let expected = "";
  try {
    parseConfig(configText(bytes, FILE.file), FILE);
  } catch (error) {
    expected = (error as Error).message;
  }
  assert.match(expected, /unknown key/);
  await assert.rejects(parseAside(bytes, FILE), { message: expected });
  const huge = utf8.encode(`# ${"x".repeat(8_388_608)}`);
  const message = "c.toml it has 8388610 bytes; expected at most 8388608";
  await assert.rejects(parseAside(huge, FILE), { message });
  assert.throws(() => configText(huge, FILE.file), ConfigError);
});

/** Classes that follow a configuration as those of a process do. */
function following(started: Config) {
  const live = new LiveConfig(started);
  const classes = new RoomClasses(live.config.rooms);
  live.follow(
    ["rooms"],
    (tables: ConfigTables) => classes.replace(tables),
    (next) => classes.compiling(next.rooms),
  );
  return { live, classes };
}

Deno.test("thousands of changed classes are compared and compiled in turns with others, and change at once", async () => {
  const tenantOf = (at: number) => at % 2 === 0 ? "*" : `t${at}`;
  const { live, classes } = following(parseConfig(classesText(4_000, "", tenantOf), FILE));
  const kept = classes.of("t1", "r-1-a");
  const next = parseConfig(
    `${classesText(3_999, "", tenantOf)}[[rooms]]\nroom = "new-*"\ndurable = true\n`,
    FILE,
  );
  const { turns } = await turnsDuring(async () => {
    const preparing = live.prepare(next);
    // What a tenant sets meanwhile counts.
    classes.setTenant("acme", []);
    assert.equal(classes.of("acme", "new-1").durable, false);
    const prepared = await preparing;
    assert.equal(classes.of("acme", "new-1").durable, false);
    let changed = 0;
    classes.onChange(() => changed++);
    assert.deepEqual(live.change(next, prepared).changed, ["rooms"]);
    assert.equal(changed, 1);
  });
  assert(turns >= 5, `${turns} turns`);
  assert.equal(classes.of("acme", "new-1").durable, true);
  assert.equal(classes.of("acme", "r-3999-a").pattern, "");
  assert.equal(classes.of("t1", "r-1-a"), kept, "a class that did not change is the same object");
  // Another configuration than the prepared one.
  live.change(parseConfig("", FILE));
  assert.equal(classes.size, 0);
});

Deno.test("classes and budgets are looked at beside keys that need a restart only as far as those restrict them", async () => {
  const reducer = '[[reducers]]\nname = "game"\nfile = "game.wasm"\n';
  const text = (rooms: string) => `[usage]\nenabled = true\n${rooms}`;
  const started = parseConfig(text(classesText(3_000)), FILE);
  const { live } = following(started);
  const long = `(${'headers["team"] in claims.teams || '.repeat(60)}false)`;
  const other = `[server]\nheartbeat_ms = 9_000\n${text(classesText(600, `filter = '${long}'`))}`;
  const next = await parseAside(utf8.encode(other), FILE);
  const used = process.cpuUsage();
  assert.deepEqual(live.change(next).needs_restart, ["server.heartbeat_ms"]);
  // Compiling these filters takes seconds of a core.
  const { user } = process.cpuUsage(used);
  assert(user < 500_000, `${user} µs`);
  const named = `${reducer}[[rooms]]\nroom = "g-*"\ndurable = true\nreducer = "game"\n`;
  assert.throws(
    () => live.change(parseConfig(named, FILE)),
    /no \[\[reducers\]\] has the name "game".*reducers.*need a restart/,
  );
  const lines = (days: number) => `[usage]\nenabled = true\nretention_days = ${days}\n`;
  const budget = '[[usage.budgets]]\nper = "month"\nunit = "cost"\nlimit = 1\naction = "warn"\n';
  const short = new LiveConfig(parseConfig(lines(20), FILE));
  assert.throws(
    () => short.change(parseConfig(lines(31) + budget, FILE)),
    /retention_days of 31 or more.*usage.retention_days, which need a restart/,
  );
});

Deno.test("a reload that is asked for during another one follows once, whoever asks", async () => {
  const started = parseConfig("", FILE);
  const { log } = keptLog({ level: "info", now: Date.now });
  const reads: PromiseWithResolvers<Config>[] = [];
  const read = () => {
    const one = Promise.withResolvers<Config>();
    reads.push(one);
    return one.promise;
  };
  const reload = new ConfigReload({ started, file: "c.toml", read, log, now: Date.now });
  const limited = (rooms: number) =>
    parseConfig(`[limits]\nrooms_per_connection = ${rooms}\n`, FILE);
  const first = reload.reload("one");
  const second = reload.reload("two");
  const third = reload.reload("three");
  assert.equal(reads.length, 1);
  assert.equal(reload.report().values["limits.rooms_per_connection"], 1_024, "the old one holds");
  reads[0]!.resolve(limited(7));
  assert.equal((await first).values["limits.rooms_per_connection"], 7);
  await until("the second reads", () => reads.length === 2);
  const fourth = reload.reload("four");
  reads[1]!.reject(new Error("it is wrong"));
  const [two, three] = await Promise.all([second, third]);
  assert.deepEqual([two.problem, three], ["it is wrong", two]);
  await until("the fourth reads", () => reads.length === 3);
  reads[2]!.resolve(limited(8));
  assert.equal((await fourth).values["limits.rooms_per_connection"], 8);
  assert.equal(reads.length, 3);
});
