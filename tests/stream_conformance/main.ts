/**
 * `deno task conformance:streams`: the Durable Streams protocol's own conformance package, complete, against a bus with
 * the embedded Spine and against two Shields on NATS in turn. The package comes from npm, with its dependencies as of
 * one day, and needs Node. The last line is `N passed, N failed`.
 */
import { run as runProgram } from "../../tasks/checkout/programs.ts";
import { startBusWith } from "../harness/bus.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import { startProxy } from "./proxy.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const PACKAGE = new URL("package/package.json", import.meta.url).pathname;
const FOLDER = `${ROOT}/.arqon/streams`;
/** The whole package, run by vitest; Deno does not load it. */
const SUITE = `import { runConformanceTests } from "@durable-streams/server-conformance-tests";
runConformanceTests({ baseUrl: process.env.CONFORMANCE_TEST_URL });
`;
/** Excludes newer versions of the package's dependencies; exact versions are used whatever the day. */
const AS_OF = "2026-11-22";
/** The time limit of a test: vitest's five seconds are too few on a busy machine. */
const TEST_MS = 60_000;
/** The package's origin, and short waits. */
const ORIGIN = 'allowed_origins = ["https://example.com"]';
const CONFIG = `
[streams]
#constant streams.long_poll_ms = 500
[limits]
max_frame_bytes = 524288
${durableRooms("*", "history_size = 100_000")}
`;

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

async function installed(): Promise<void> {
  await Deno.mkdir(FOLDER, { recursive: true });
  await Deno.copyFile(PACKAGE, `${FOLDER}/package.json`);
  await Deno.writeTextFile(`${FOLDER}/streams.test.mjs`, SUITE);
  const args = ["install", `--before=${AS_OF}`, "--no-package-lock", "--ignore-scripts"];
  args.push("--no-audit", "--no-fund", "--silent");
  const { success } = await new Deno.Command("npm", { args, cwd: FOLDER }).output();
  if (!success) throw new Error("npm install has failed");
}

async function run(engine: string, shields: readonly string[], token: string): Promise<Outcome> {
  await using proxy = startProxy(shields, token);
  const url = `http://127.0.0.1:${(proxy.addr as Deno.NetAddr).port}`;
  const args = [
    "node_modules/vitest/vitest.mjs",
    "run",
    "streams.test.mjs",
    "--reporter=json",
    `--testTimeout=${TEST_MS}`,
  ];
  const env = { CONFORMANCE_TEST_URL: url };
  const { stdout: text } = (await runProgram("node", args, { cwd: FOLDER, env }))!;
  const report = JSON.parse(text.slice(text.indexOf('{"numTotal')));
  for (const test of report.testResults.flatMap((file: Report) => file.assertionResults)) {
    if (test.status !== "failed") continue;
    console.log(`FAILED ${engine}: ${test.fullName}\n${test.failureMessages.join("\n")}`);
  }
  const { numPassedTests: passed, numFailedTests: failed, numPendingTests: optional } = report;
  console.log(`${engine}: ${passed} passed, ${failed} failed, ${optional} not asked for`);
  return { passed, failed };
}

interface Report {
  readonly assertionResults: readonly {
    status: string;
    fullName: string;
    failureMessages: string[];
  }[];
}

async function embedded(): Promise<Outcome> {
  const config = `[server]\nhost = "127.0.0.1"\n${ORIGIN}\n[ops]\nhost = "127.0.0.1"\n${CONFIG}`;
  await using bus = await startBusWith(config);
  return await run("embedded", [bus.http_url], bus.token);
}

async function onNats(): Promise<Outcome> {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `${CONFIG}[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  await using _brain = await startServer("brain", config, issuer.dir);
  await using one = await startServer("shield", config, issuer.dir, `node_id = "one"\n${ORIGIN}`);
  await using two = await startServer("shield", config, issuer.dir, `node_id = "two"\n${ORIGIN}`);
  const urls = [one, two].map(({ ready: { url = "" } }) =>
    new URL(url).origin.replace(/^ws/, "http")
  );
  return await run("NATS", urls, await issuer.tokenFor());
}

async function main(): Promise<void> {
  await installed();
  const outcomes = [await embedded(), await onNats()];
  const sum = (of: keyof Outcome) => outcomes.reduce((all, outcome) => all + outcome[of], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  if (sum("failed") > 0 || outcomes.some(({ passed }) => passed === 0)) Deno.exitCode = 1;
}

if (import.meta.main) await main();
