/** Commands whose Brain ends before it has answered: which are retried, on which Brain, and which never are. */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { ALL_COMMANDS, commandSubject, processSubject } from "../../shared/subjects/subject.ts";
import { testSpine } from "../testing/spine.ts";
import { CommandsUnderWay } from "./capability.ts";

const SUBJECT = commandSubject("acme", "lobby");
const PAYLOAD = new TextEncoder().encode("command");

/** Brains on one engine; a command goes to one of them. */
function testBed() {
  const engine = testSpine();
  const { spine } = engine;
  const gone: string[] = [];
  const live = new Set<string>();
  let again = 0;
  const commands = new CommandsUnderWay({
    hello: () => new Uint8Array(1),
    spine,
    brains: () => [...live],
    monotonic_ms: () => performance.now(),
    onGone: (brain_id) => {
      gone.push(brain_id);
      live.delete(brain_id);
    },
    onAgain: () => void again++,
  });
  const brain = (id: string, take: (message: SpineMessage) => void) => {
    live.add(id);
    const taken: SpineMessage[] = [];
    const subscriptions = [
      spine.subscribe(processSubject("direct", id), () => {}),
      spine.subscribe(ALL_COMMANDS, (message) => {
        taken.push(message);
        take(message);
      }, { queue: "brains" }),
    ];
    return { taken, die: () => subscriptions.forEach((one) => one.unsubscribe()) };
  };
  const ask = (has_id: boolean, timeout_ms = 60_000) =>
    commands.request(SUBJECT, PAYLOAD, { timeout_ms }, has_id);
  return { engine, gone, brain, ask, again: () => again };
}

const answer = ({ respond }: SpineMessage) => respond(new TextEncoder().encode("done"));
const textOf = ({ payload }: SpineMessage) => new TextDecoder().decode(payload);

Deno.test("a command whose Brain is killed is retried on another one", async () => {
  const { engine, gone, brain, ask, again } = testBed();
  await using _ = engine;
  const one = brain("one", () => {});
  const pending = [ask(true), ask(true)];
  await until("it has them", () => one.taken.length === 2);
  const two = brain("two", answer);
  one.die();
  assert.deepEqual((await Promise.all(pending)).map(textOf), ["done", "done"]);
  assert.deepEqual([gone, again(), two.taken.length], [["one"], 2, 2]);
});

Deno.test("when a Brain ends, waiting commands with an id are retried once, those without an id never", async () => {
  const { engine, gone, brain, ask, again } = testBed();
  await using _ = engine;
  const slow = brain("slow", () => {});
  const pending = ask(true);
  await until("it has it", () => slow.taken.length === 1);
  const other = brain("other", () => {});
  const without_id = ask(false, 2_000);
  const both = () => slow.taken.length + other.taken.length;
  await until("somebody has it", () => both() === 2);
  const last = brain("last", () => {});
  last.die();
  // The probe detects the ended Brain, so pending commands can be retried.
  await until("one has left", () => gone.length === 1);
  await until("it was asked again", () => again() === 1);
  await assert.rejects(without_id, { reason: "command-timeout" });
  await until("the repetition has arrived", () => both() === 3);
  slow.taken.forEach(answer);
  assert.equal(textOf(await pending), "done");
  assert.deepEqual([gone, again(), both()], [["last"], 1, 3]);
});

Deno.test("a slow Brain is probed, and gets no retries", async () => {
  const { engine, gone, brain, ask, again } = testBed();
  await using _ = engine;
  let knocks = 0;
  engine.spine.subscribe(processSubject("direct", "slow"), () => void knocks++);
  const slow = brain("slow", () => {});
  const pending = ask(true);
  await until("it is asked whether it exists", () => knocks >= 2);
  assert.deepEqual([gone, again(), slow.taken.length], [[], 0, 1]);
  slow.taken.forEach(answer);
  assert.equal(textOf(await pending), "done");
});
