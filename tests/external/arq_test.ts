/**
 * The README's walk with real events: `arq sub --count` in one process, `arq pub --ndjson` in
 * another, on one bus and across two Shields on NATS; a subscriber of another tenant sees nothing.
 * Needs the data folder: `deno task test:external DIR`, which becomes `Deno.args[0]`.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { startBus } from "../harness/bus.ts";
import type { TestBus } from "../harness/bus.ts";
import { startNats } from "../harness/nats_server.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const DATA = Deno.args[0];

interface Arq extends AsyncDisposable {
  /** Resolves when stderr contains `text`. Rejects when the process ends first. */
  said(text: string): Promise<void>;
  /** Waits for the end; stdout as bytes. */
  output(): Promise<{ code: number; stdout: Uint8Array; stderr: string }>;
  interrupt(): void;
}

function arq(bus: TestBus, token: string, ...args: string[]): Arq {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "arq", ...args, "--url", bus.url, "--token", token],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let stderr = "";
  const changed = new EventTarget();
  const read = child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({
      write(text) {
        stderr += text;
        changed.dispatchEvent(new Event("text"));
      },
    }),
  );
  const stdout = new Response(child.stdout).bytes();
  const ended = Promise.all([child.status, read]);
  return {
    async said(text) {
      const failed = ended.then(() => Promise.reject(new Error(`arq ended: ${stderr}`)));
      while (!stderr.includes(text)) {
        const next = new Promise((resolve) => {
          changed.addEventListener("text", resolve, { once: true });
        });
        await Promise.race([next, failed]);
      }
      failed.catch(() => {});
    },
    async output() {
      const [status] = await ended;
      return { code: status.code, stdout: await stdout, stderr };
    },
    interrupt: () => child.kill("SIGINT"),
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGTERM");
      } catch {
        // It has ended already.
      }
      await ended;
    },
  };
}

async function walk(publishing: TestBus, subscribing: TestBus): Promise<void> {
  assert(DATA !== undefined, "run this with `deno task test:external DIR`");
  const file = `${DATA}/events/events.ndjson`;
  const events = await Deno.readFile(file);
  const count = String(events.filter((byte) => byte === 10).length);
  const foreign = await subscribing.tokenFor({ tenant: "acme" });
  await using subscriber = arq(subscribing, subscribing.token, "sub", "github", "--count", count);
  await using stranger = arq(subscribing, foreign, "sub", "github");
  await Promise.all([subscriber.said("Subscribed"), stranger.said("Subscribed")]);
  await using publisher = arq(publishing, publishing.token, "pub", "github", "--ndjson", file);
  const published = await publisher.output();
  assert.equal(published.code, 0, published.stderr);
  const received = await subscriber.output();
  assert.equal(received.code, 0, received.stderr);
  assert.equal(Buffer.compare(received.stdout, events), 0, "in order and byte for byte");
  stranger.interrupt();
  const nothing = await stranger.output();
  assert.equal(nothing.code, 130, nothing.stderr);
  assert.equal(nothing.stdout.length, 0, "another tenant sees nothing");
}

Deno.test("arq carries real events through one bus", async () => {
  await using bus = await startBus();
  await walk(bus, bus);
});

Deno.test("arq carries real events from one Shield to another over NATS", async () => {
  await using nats = await startNats({ jetstream: true });
  await using first = await startBus(["--nats", nats.url]);
  await using second = await startBus(["--nats", nats.url]);
  await walk(first, second);
});
