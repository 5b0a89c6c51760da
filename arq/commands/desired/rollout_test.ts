/** `arq apply --canary` and `arq rollout` against a real bus with traffic, and Ctrl-C. */
import assert from "node:assert/strict";
import { startBusWith } from "../../../tests/harness/bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import type { TestBus } from "../../../tests/harness/bus.ts";
import { openText } from "../../../tests/peers/raw_client.ts";
import { BAD_RULE, GOOD_RULE, OLD_RULE, Traffic } from "../../../tests/rollout_traffic.ts";
import { until } from "../../../shared/testing/until.ts";
import { diskIo, folderWith } from "../../testing/disk_io.ts";
import { runArq, startArq } from "../../testing/run_arq.ts";
import { EXIT } from "../../terminal/exit.ts";
import type { Io } from "../../terminal/io.ts";
import { watchRollout } from "./rollout.ts";

const FOLDER = `tenant = "default"
[[policies]]
name = "rule"
module = "rule.wasm"
`;

interface Run {
  readonly bus: TestBus;
  readonly folder: string;
  /** Puts a module into the folder. */
  put(bytes: Uint8Array): Promise<void>;
  arq(code: number, ...args: string[]): Promise<string>;
}

async function arq(bus: TestBus, code: number, ...args: string[]): Promise<string> {
  const result = await runArq([...args, "--url", bus.url]);
  const said = result.stdout + result.stderr;
  assert.equal(result.code, code, `${args.join(" ")}: ${said}`);
  return said;
}

async function wrongOptions({ folder, arq }: Run): Promise<void> {
  const wrong: [RegExp, string[]][] = [
    [/unknown metric; expected one of refused/, ["--canary", "1%", "--abort-if", "refusd>1%"]],
    [/as in "refused>0.1%"/, ["--canary", "1%", "--abort-if", "refused"]],
    [/more than nothing/, ["--canary", "0"]],
    [/share of all keys/, ["--canary", "200%"]],
    [/--for .*10 *x/, ["--canary", "1%", "--for", "10x"]],
    [/are about --canary/, ["--for", "10m"]],
  ];
  for (const [text, options] of wrong) {
    assert.match(await arq(2, "apply", folder, ...options), text);
  }
}

async function good({ folder, put, arq }: Run): Promise<void> {
  await put(GOOD_RULE);
  const steps = ["--canary", "50%", "--for", "1", "--at-least", "5", "--abort-if", "refused>50%"];
  const said = await arq(0, "apply", folder, ...steps);
  assert.match(said, /1 to change.*no connection is touched/);
  assert.match(said, /observing; /);
  assert.match(said, /in force for 50 ?%; .*\n {2}rule: \d+ messages, \d+ by the new version/);
  assert.match(said, /applied: the new state is in force\n/);
  assert.match(await arq(0, "apply", folder, ...steps), /nothing to do/);
  assert.match(await arq(0, "rollout", "show"), /: applied\nends if refused>50%\napplied: /);
}

async function bad({ folder, put, arq }: Run, traffic: Traffic): Promise<void> {
  await put(BAD_RULE);
  traffic.texts = ["abc1", "abc7"];
  const steps = ["--canary", "50%", "--abort-if", "fuel_p99>9x", "--abort-if", "refused > 1%"];
  const said = await arq(1, "apply", folder, ...steps, "--json");
  const view = JSON.parse(said.split("\n").find((line) => line.startsWith("{"))!);
  assert.deepEqual([view.rollout.state, view.rollout.ended.condition], ["returned", "refused>1%"]);
  const shown = await arq(0, "rollout", "show");
  assert.match(shown, /returned: the old state is in force again; begun by /);
  assert.match(
    shown,
    /refused>1% was not held by rule: \d+ of \d+ messages\n.* would refuse: \S+ in r/,
  );
  assert.match(await arq(0, "rollout", "list"), / returned at 0 ?%: refused>1% .*\n.* applied\n/);
  traffic.texts = ["abc1"];
}

async function left({ bus, folder, arq }: Run): Promise<void> {
  const running = await startArq(["apply", folder, "--canary", "1%", "--url", bus.url]);
  await running.says("observing");
  assert.match(await arq(1, "apply", folder), /rollout [0-9a-f]{32} by .* is under way, nothing/);
  running.child.kill("SIGINT");
  await running.says("the rollout goes on without this terminal: ");
  assert.equal((await running.result()).code, 130);
  assert.match(await arq(0, "rollout", "show"), /: running\nno conditions\nobserving; /);
}

/** A schema and a hook of the folder are in force with the last step, and not before. */
async function withSchema({ bus, folder, put, arq }: Run): Promise<void> {
  const proto = 'syntax = "proto3";\npackage fleet.v1;\nmessage Vehicle {\n  string id = 1;\n}\n';
  await Deno.mkdir(`${folder}/p`);
  await Deno.writeTextFile(`${folder}/p/a.proto`, proto);
  const hook = '[[hooks]]\nid = "crm"\nurl = "https://hooks.example.com/"\n';
  await Deno.writeTextFile(`${folder}/s.toml`, `[[schemas]]\nid = "fleet"\nset = "p"\n${hook}`);
  await put(OLD_RULE);
  const schemas = async () => JSON.parse(await arq(0, "schema", "list", "--json")).schemas;
  const running = await startArq(["apply", folder, "--canary", "1%", "--url", bus.url]);
  await running.says("observing");
  assert.match(await arq(0, "rollout", "show"), /\nschemas with the last step: fleet 1\n/);
  assert.deepEqual(await schemas(), []);
  await arq(0, "rollout", "abort");
  const returned = await running.result();
  assert.equal(returned.code, 1);
  assert.match(returned.stdout, /hook crm has the new secret whsec_/);
  assert.deepEqual(await schemas(), []);
  assert.match(await arq(0, "hook", "list"), /no hooks/);
  await arq(0, "apply", folder, "--canary", "50%", "--for", "1", "--at-least", "1");
  const [{ schema_id, latest }] = await schemas();
  const { rollout } = JSON.parse(await arq(0, "rollout", "show", "--json"));
  assert.deepEqual([schema_id, latest.version, latest.apply], ["fleet", 1, rollout.id]);
  assert.deepEqual([rollout.hooks, JSON.stringify(rollout).includes("whsec_")], [undefined, false]);
  assert.match(await arq(0, "hook", "list"), /crm/);
  assert.match(await arq(0, "plan", folder), /nothing to do\n/);
}

/** A terminal with a person who presses Ctrl-C at once and types that. */
function person(typed: string): Io & { readonly said: () => string } {
  const io = diskIo("/", true);
  return {
    ...io,
    is_stdin_tty: true,
    stdin: () => new Blob([`${typed}\n`]).stream(),
    takeInterrupt(onNext) {
      onNext();
      return () => {};
    },
    said: () => io.stdout.text() + io.stderr.text(),
  };
}

async function asked({ bus, arq }: Run): Promise<void> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = { admin_url: bus.admin_url, token };
  const hold = person("h");
  assert.equal(await watchRollout(hold, admin, "default", {}), EXIT.interrupted);
  assert.match(
    hold.said(),
    /hold the rollout, go on, or return to the old state\? \[h\/g\/r\] held; /,
  );
  assert.match(await arq(0, "rollout", "show"), /: paused\n/);
  assert.match(await arq(0, "rollout", "resume"), /: running\n/);
  const on = person("g");
  const watching = watchRollout(on, admin, "default", {});
  await until("it was asked", () => on.said().includes("[h/g/r]"));
  const back = person("r");
  assert.equal(await watchRollout(back, admin, "default", {}), EXIT.failure);
  assert.match(back.said(), /aborted by root\n/);
  assert.equal(await watching, EXIT.failure, "who went on sees the end too");
  assert.match(await arq(1, "rollout", "resume"), /is returned: it cannot be resumed any more/);
}

/** A person thinks for so long that the rollout is over: they are told how it ended, not of an error. */
async function askedTooLate({ bus, folder, arq }: Run): Promise<void> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const admin = { admin_url: bus.admin_url, token };
  for (const typed of ["h", "r"]) {
    const running = await startArq(["apply", folder, "--canary", "1%", "--url", bus.url]);
    await running.says("observing");
    const slow: ReturnType<typeof person> = {
      ...person(""),
      stdin: () =>
        new ReadableStream({
          async pull(controller) {
            await arq(0, "rollout", "abort");
            controller.enqueue(new TextEncoder().encode(`${typed}\n`));
            controller.close();
          },
        }, { highWaterMark: 0 }),
    };
    assert.equal(await watchRollout(slow, admin, "default", {}), EXIT.failure);
    assert.match(slow.said(), /returned: the old state is in force again/);
    const is_late = /is returned: it cannot be paused any more/.test(slow.said());
    assert.equal(is_late, typed === "h", "an abort of what was aborted is done already");
    assert.equal((await running.result()).code, 1);
  }
}

Deno.test("arq apply --canary goes to the end, returns, is left and asked", async (t) => {
  await using bus = await startBusWith(PATIENT_POLICIES);
  await using files = await folderWith({ "state/policies.toml": FOLDER });
  const folder = `${files.path}/state`;
  const put = (bytes: Uint8Array) => Deno.writeFile(`${folder}/rule.wasm`, bytes);
  const run: Run = { bus, folder, put, arq: (...given) => arq(bus, ...given) };
  await put(OLD_RULE);
  await run.arq(0, "apply", folder);
  const clients = await Promise.all(
    [0, 1, 2, 3].map(async (at) => await openText(bus.url, await bus.tokenFor({ user: `u${at}` }))),
  );
  const traffic = new Traffic(clients);
  await t.step("options that are wrong", () => wrongOptions(run));
  await t.step("a good rule", () => good(run));
  await t.step("a bad rule", () => bad(run, traffic));
  await t.step("Ctrl-C in a script leaves it to the bus", () => left(run));
  await t.step("Ctrl-C at a terminal asks", () => asked(run));
  await t.step("Ctrl-C, and an answer that comes too late", () => askedTooLate(run));
  await t.step("a schema comes with the last step", () => withSchema(run));
  await traffic.stop();
  for (const client of clients) client[Symbol.dispose]();
});
