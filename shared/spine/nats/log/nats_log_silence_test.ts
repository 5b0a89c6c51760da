/**
 * Who opens a log on a real NATS while the only process that knows it is stopped: it is waited for, but
 * not without end.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { startNats } from "../../../../tests/harness/nats_server.ts";
import { insist } from "../../../testing/until.ts";
import { bytes } from "../../conformance/conformance.ts";
import type { DurableLog } from "../../contract/durable_log.ts";
import { logEngine, RETENTION } from "../testing/nats_log_harness.ts";
import type { LogEngine } from "../testing/nats_log_harness.ts";

/** Many times what is waited for somebody silent. */
const DEADLINE_MS = 120_000;
const CHILD = new URL("../testing/log_witness_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../../deno.json", import.meta.url).pathname;

/** Another process that follows the log, in the life `stream`. */
async function startWitness(url: string) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "-A", "--config", CONFIG, CHILD, url],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let stream = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    stream += text;
    if (stream.endsWith("\n")) break;
  }
  assert.ok(stream.endsWith("\n"), "the process ended early");
  return {
    stream: stream.trim(),
    stop: () => child.kill("SIGSTOP"),
    goOn: () => child.kill("SIGCONT"),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

const open = ({ spine }: LogEngine): Promise<DurableLog> => spine.log("acme", RETENTION);

const isRefused = (error: unknown, words: string): boolean =>
  error instanceof ArqonError && error.reason === "log-unavailable" &&
  error.message.includes(words);
/** The log is refused for who does not answer, and for nothing else. */
const isAwaited = (error: unknown): boolean => isRefused(error, "does not answer yet");
/** On a busy machine NATS itself may answer too late, which is asked again. */
const isLate = (error: unknown): boolean =>
  isRefused(error, "no answer in") ||
  error instanceof ArqonError && error.reason === "spine-unavailable" &&
    error.message.endsWith("timeout");

/** Opens the log until it is refused for who does not answer. */
async function assertAwaited(engine: LogEngine): Promise<void> {
  await assert.rejects(async () => {
    for (;;) {
      try {
        await open(engine);
        return;
      } catch (error) {
        if (!isLate(error)) throw error;
      }
    }
  }, isAwaited);
}

/** Opens the log as clients make a Shield do it: again, for as long as somebody may still answer. */
function openAnyhow(engine: LogEngine): Promise<DurableLog> {
  const isPassing = (error: unknown) => isAwaited(error) || isLate(error);
  return insist("the log is opened", () => open(engine), isPassing, DEADLINE_MS);
}

Deno.test("one that is stopped is waited for, and the life goes on when it does", async () => {
  await using nats = await startNats({ jetstream: true });
  await using witness = await startWitness(nats.url);
  witness.stop();
  await using engine = await logEngine([nats.url]);
  await assertAwaited(engine);
  witness.goOn();
  const log = await openAnyhow(engine);
  assert.equal(log.stream, witness.stream);
  assert.equal((await log.append("a", bytes("more"))).offset, 4);
});

Deno.test("one that stays stopped is not waited for without end: a new life begins behind what is there", async () => {
  await using nats = await startNats({ jetstream: true });
  await using witness = await startWitness(nats.url);
  witness.stop();
  await using engine = await logEngine([nats.url]);
  const log = await openAnyhow(engine);
  assert.deepEqual(log.lives.map(({ first }) => first), [0, 4]);
  assert.equal(log.lives[0]?.name, witness.stream);
  await using other = await logEngine([nats.url]);
  const { stream } = await open(other);
  assert.equal(stream, log.stream, "the stopped one keeps nobody from answering");
});
