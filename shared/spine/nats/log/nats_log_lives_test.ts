/**
 * Lives of a log on a real NATS: a process that follows it vouches for it, a restart of the server changes nothing, and
 * a restored older store is detected before anything is appended to it. A process that opens the log while the only one
 * that knows it is stopped waits for it, but not without limit.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { type NatsServer, startNats } from "../../../../tests/harness/nats_server.ts";
import { StreamedCommand } from "../../../../tasks/checkout/streamed_command.ts";
import { temporaryFolder } from "../../../testing/temporary_folder.ts";
import { insist } from "../../../testing/until.ts";
import { bytes } from "../../testing/conformance.ts";
import type { DurableLog } from "../../contract/durable_log.ts";
import { lastOf } from "../../contract/lives.ts";
import type { SpineEvent } from "../../contract/spine.ts";
import { type LogEngine, logEngine, RETENTION } from "../testing/nats_log_harness.ts";

/** Appends this many; returns the last offset. */
async function append(log: DurableLog, count: number, room = "a"): Promise<number> {
  let last = 0;
  for (let number = 0; number < count; number++) {
    // A refusal while the server restarts is retried.
    const append = () => log.append(room, bytes(String(number)));
    last = (await insist("an append is taken", append)).offset;
  }
  return last;
}

async function copyStore({ store }: NatsServer, to: string, back: boolean): Promise<void> {
  const [source, target] = back ? [to, store] : [store, to];
  await Deno.remove(target, { recursive: true }).catch(() => {});
  const { success } = await new Deno.Command("cp", { args: ["-a", source, target] }).output();
  assert.ok(success);
}

Deno.test("opening a log continues its incarnation while somebody follows it, else begins another", async () => {
  await using nats = await startNats({ jetstream: true });
  let first = "";
  {
    await using one = await logEngine([nats.url]);
    const log = await one.spine.log("acme", RETENTION);
    first = log.stream;
    assert.equal(await append(log, 3), 3);
    await using two = await logEngine([nats.url]);
    const other = await two.spine.log("acme", RETENTION);
    assert.equal(other.stream, first, "the first one vouches for it");
    assert.equal(await append(other, 1), 4);
    await nats.restart();
    assert.equal(await append(other, 1), 5);
    assert.equal(await append(log, 1), 6);
    assert.deepEqual([log.stream, other.stream], [first, first], "a restart changes nothing");
  }
  await using three = await logEngine([nats.url]);
  const log = await three.spine.log("acme", RETENTION);
  assert.notEqual(log.stream, first);
  assert.deepEqual(log.lives, [{ name: first, first: 0 }, { name: log.stream, first: 7 }]);
  assert.equal((await log.head("a")).last?.offset, 6, "what was stored is there");
});

Deno.test("an orderly stop announces how far a log is: the next process to open it continues", async () => {
  await using nats = await startNats({ jetstream: true });
  await using next = await logEngine([nats.url]);
  let first = "";
  {
    await using one = await logEngine([nats.url]);
    const log = await one.spine.log("acme", RETENTION);
    first = log.stream;
    assert.equal(await append(log, 3), 3);
  }
  const log = await next.spine.log("acme", RETENTION);
  assert.equal(log.stream, first);
  assert.equal(await append(log, 1), 4);
});

Deno.test("those that open a log at the same moment begin one life together", async () => {
  await using nats = await startNats({ jetstream: true });
  {
    await using one = await logEngine([nats.url]);
    await append(await one.spine.log("acme", RETENTION), 3);
  }
  await using one = await logEngine([nats.url]);
  await using two = await logEngine([nats.url]);
  await using three = await logEngine([nats.url]);
  const logs = await Promise.all(
    [one, two, three].map(({ spine }) => spine.log("acme", RETENTION)),
  );
  assert.equal(new Set(logs.map(({ stream }) => stream)).size, 1);
  for (const { lives } of logs) assert.equal(lives.length, 2);
});

Deno.test("an older store under running engines: the life changes at once, and ends with the copy", async () => {
  await using nats = await startNats({ jetstream: true });
  await using folder = await temporaryFolder();
  await using one = await logEngine([nats.url]);
  await using two = await logEngine([nats.url]);
  const log = await one.spine.log("acme", RETENTION);
  const other = await two.spine.log("acme", RETENTION);
  const first = log.stream;
  await append(log, 10);
  await nats.stop();
  await copyStore(nats, `${folder.path}/copy`, false);
  await nats.start();
  assert.equal(await append(log, 5), 15);
  await insist("the log answers", () => other.status());
  assert.equal(log.stream, first);
  await nats.stop();
  const gone = (events: readonly SpineEvent[]) =>
    events.filter((event) => event.type === "state" && event.status.state === "disconnected");
  await one.events.until((events) => gone(events).length >= 2, "the connection breaks");
  assert.equal(log.is_proven, false, "nobody knows what comes back");
  await copyStore(nats, `${folder.path}/copy`, true);
  await nats.start();
  assert.equal(await append(other, 1, "b"), 11);
  const { stream, last, log_offset } = await insist("the log answers", () => log.head("a"));
  assert.deepEqual([stream, log.stream, other.stream], [log.stream, other.stream, stream]);
  assert.notEqual(stream, first);
  assert.deepEqual([last?.offset, log_offset], [10, 11]);
  assert.equal(lastOf(log.lives, first), 10, "what came after the copy is of no life");
  assert.deepEqual([log.lifeOf(streamName(first), 10), log.lifeOf(streamName(first), 11)], [
    first,
    stream,
  ]);
  await one.reported("acme", 1);
});

/** JetStream's name of the stream: the name of the first life. */
const streamName = (life: string): string => life.split("~")[0] ?? "";

/** Many times the wait for a silent process. */
const DEADLINE_MS = 120_000;

const CHILD = new URL("../testing/log_witness_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../../deno.json", import.meta.url).pathname;

/** Another process that follows the log, in the life `stream`. */
async function startWitness(url: string) {
  const words = ["run", "--quiet", "--no-check", "-A", "--config", CONFIG, CHILD, url];
  const witness = StreamedCommand.start([Deno.execPath(), ...words], { stderr: "inherit" });
  return {
    stream: await witness.firstLine(),
    stop: () => witness.child.kill("SIGSTOP"),
    goOn: () => witness.child.kill("SIGCONT"),
    [Symbol.asyncDispose]: async () => void await witness.stop("SIGKILL"),
  };
}

const open = ({ spine }: LogEngine): Promise<DurableLog> => spine.log("acme", RETENTION);

const isRefused = (error: unknown, words: string): boolean =>
  error instanceof ArqonError && error.reason === "log-unavailable" &&
  error.message.includes(words);

/** The log is refused only because a witness does not answer. */
const isAwaited = (error: unknown): boolean => isRefused(error, "does not answer yet");

/** On a busy machine NATS itself may answer too late, and is asked again. */
const isLate = (error: unknown): boolean =>
  isRefused(error, "no answer in") ||
  error instanceof ArqonError && error.reason === "spine-unavailable" &&
    error.message.endsWith("timeout");

/** Opens the log until it is refused because a witness does not answer. */
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

/** Opens the log as clients make a Shield do: with retries while a witness may still answer. */
function openAnyhow(engine: LogEngine): Promise<DurableLog> {
  const isPassing = (error: unknown) => isAwaited(error) || isLate(error);
  return insist("the log is opened", () => open(engine), isPassing, DEADLINE_MS);
}

Deno.test("a stopped process is waited for, and the incarnation continues when it does", async () => {
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

Deno.test("one that stays stopped is not waited for forever: a new incarnation begins after the existing messages", async () => {
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
