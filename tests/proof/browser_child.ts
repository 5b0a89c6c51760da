/**
 * A page in Chromium that verifies each message of a room while 1,000 a second are published, for `browser_test.ts`:
 * prints how late they were, and what the page's thread took, with and without.
 */
import { build, stop } from "esbuild";
import { startChromium } from "../console/world.ts";
import { startBusWith } from "../harness/bus.ts";
import { serving } from "../../shared/testing/serving.ts";
import { pace } from "../../shared/testing/pace.ts";
import { grown, PROOF_CONFIG, publish, served, treeUrl, verifierOf, vkeyOf } from "./served.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const SECONDS = 10;
/** A burst, and how many of them in a second. */
const BURST = 50;
const BURSTS = 20;
const COUNT = SECONDS * BURST * BURSTS;

const PROGRAM = `
import { connect } from "@arqon/sdk";
import { VerifiedLog } from "@arqon/sdk/proof";

globalThis.begin = async ({ url, token, log, count }) => {
  const bus = await connect({ url, token });
  const messages = bus.room("bets").subscribe();
  await messages.ready;
  const late_ms = [];
  const wrong = [];
  const read = async () => {
    let last = 0n;
    for await (const { offset, timestamp_ms } of log ? new VerifiedLog(log).verify(messages) : messages) {
      if (offset <= last) wrong.push(offset + " behind " + last);
      last = offset;
      late_ms.push(Date.now() - timestamp_ms);
      if (late_ms.length === count) break;
    }
    await bus.close();
    late_ms.sort((one, other) => one - other);
    const at = (share) => late_ms[Math.ceil(share * count) - 1];
    return { count: late_ms.length, wrong, p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) };
  };
  globalThis.ended = read();
};`;

async function bundled(): Promise<string> {
  const { outputFiles: [file] } = await build({
    stdin: { contents: PROGRAM, resolveDir: ROOT },
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    alias: {
      "@arqon/proto": `${ROOT}proto/mod.ts`,
      "@arqon/sdk": `${ROOT}sdk/typescript/mod.ts`,
      "@arqon/sdk/proof": `${ROOT}sdk/typescript/proof.ts`,
    },
  });
  return file!.text;
}

const script = await bundled();
await using page_server = serving(({ url }) =>
  new URL(url).pathname === "/page.js"
    ? new Response(script, { headers: { "content-type": "text/javascript" } })
    : new Response('<script type="module" src="/page.js"></script>', {
      headers: { "content-type": "text/html" },
    })
);
await using bus = await startBusWith(
  `${
    PROOF_CONFIG.replace("[server]", '[server]\nallowed_origins = ["http://127.0.0.1*"]').replace(
      "proof = true",
      "proof = true\nhistory_size = 100_000",
    )
  }
[limits]
messages_per_second = 100_000
user_messages_per_second = 100_000
`,
);
const browser = await startChromium();
try {
  await publish(bus, "bets", 1);
  const files = served(bus, "default.bets");
  await grown(files, await verifierOf(files), 1);
  const log = { url: treeUrl(bus, "default.bets"), vkeys: [await vkeyOf(files)] };
  for (const verified of [false, true]) {
    const page = await browser.newPage();
    await page.goto(`${page_server.url}/`);
    await page.waitForFunction("globalThis.begin !== undefined");
    const { url, token } = bus;
    const request = { url, token, count: COUNT, ...(verified ? { log } : {}) };
    await page.evaluate(`begin(${JSON.stringify(request)})`);
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
    const busy_s = async () => {
      const { metrics } = await devtools.send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "TaskDuration")?.value ?? NaN;
    };
    const before_s = await busy_s();
    const begun_ms = performance.now();
    const bursts: Promise<void>[] = [];
    for (let at = 0; at < COUNT; at += BURST) {
      bursts.push(publish(bus, "bets", BURST, at));
      const due_ms = begun_ms + (at + BURST) * SECONDS * 1_000 / COUNT;
      await pace(Math.max(0, due_ms - performance.now()));
    }
    await Promise.all(bursts);
    const published_s = (performance.now() - begun_ms) / 1_000;
    const read = await page.evaluate<object>("ended");
    const all_s = (performance.now() - begun_ms) / 1_000;
    const cpu_s = await busy_s() - before_s;
    console.log(JSON.stringify({ verified, ...read, published_s, all_s, cpu_s }));
    await page.close();
  }
} finally {
  await browser.close();
  await stop();
}
