/**
 * Runs one scenario of `sdk/conformance/scenarios` with this SDK: runs its client steps, then compares the program's
 * results with the expected ones. The other side is the scripted server. Not part of the package.
 */
import assert from "node:assert/strict";
import { dataForm } from "@arqon/proto";
import { deltaSocket } from "../delta.ts";
import { connect as connectAtPositions } from "../patterns.ts";
import { HttpSocket } from "../http/http_socket.ts";
import { connect } from "../http.ts";
import { ArqonError } from "../mod.ts";
import type { Connection, Data, Json, Message, Status, Subscription } from "../mod.ts";
import { subscribeSince } from "../postgres.ts";
import { reduced, type WatchedValues } from "../reducers.ts";
import { roomState } from "../state.ts";
import { hex } from "../request/room_request.ts";
import type { Run, ScenarioServer } from "./scenario_server.ts";
import { until } from "../../../shared/testing/until.ts";

/** Any text in the form of a token: the scripted server checks none. */
const TOKEN = "e30.e30.c2ln";

/** The ways that each scenario goes. */
export const TRANSPORTS = ["websocket", "http"] as const;
/** One step. */
export type Transport = typeof TRANSPORTS[number];

/** A scenario in the form of its file; `server/script.ts` has checked it. */
// deno-lint-ignore no-explicit-any
export type Plain = any;

/** One loop over a room, and how it ended: null without an error. */
interface Loop {
  /** The program's subscription; a loop since a page's queries has none. */
  readonly subscription: Subscription | undefined;
  readonly received: Plain[];
  ended: string | null | undefined;
  readonly done: Promise<void>;
}

/** A request that is not awaited at once: its answer, or its error. */
type Outcome = { readonly answer: Plain } | { readonly error: string };

function reasonOf(error: unknown): string {
  assert.ok(error instanceof ArqonError, `no ArqonError: ${error}`);
  return error.reason;
}

function shown(message: Message): Plain {
  const { signal, room, type, sender, offset, epoch, message_id, headers } = message;
  if (signal !== undefined) return { signal: signal.kind, reason: signal.reason, room };
  const form = dataForm(message.content_type);
  const data = form === "json"
    ? message.json()
    : form === "text"
    ? message.text()
    : hex(message.data);
  return { type, room, data, sender, offset: Number(offset), epoch, message_id, headers };
}

function shownStatus(status: Status): Plain {
  if (status.state === "waiting") {
    return { waiting: status.error.reason, retry_in_ms: status.retry_in_ms };
  }
  const failed = status.state === "closed" && status.error !== undefined;
  return failed ? { closed: status.error?.reason } : status.state;
}

/** The members of `found` that `wanted` has. */
function partOf(wanted: Plain, found: Plain): Plain {
  if (typeof wanted !== "object" || wanted === null || Array.isArray(wanted)) return found;
  return Object.fromEntries(Object.keys(wanted).map((name) => [name, found?.[name]]));
}

/** The options of a connection that asks for deltas: the sockets stand for the transport. */
function foldedOver(transport: Transport) {
  const webSocket = transport === "http" ? deltaSocket(HttpSocket) : deltaSocket();
  return { transport: "websocket" as const, webSocket };
}

/** Runs the client of one scenario. */
class Program {
  readonly statuses: Plain[] = [];
  readonly errors: string[] = [];
  readonly loops = new Map<string, Loop>();
  readonly watched = new Map<string, WatchedValues>();
  readonly #run: Run;
  readonly #options: Plain;
  readonly #outcomes = new Map<string, Promise<Outcome>>();
  #bus: Connection | undefined;

  constructor(run: Run, transport: Transport, options: Plain = {}) {
    this.#run = run;
    this.#options = { transport, ...options };
  }

  get bus(): Connection {
    assert.ok(this.#bus !== undefined, "no step has connected");
    return this.#bus;
  }

  /** By `do`; a step that is not here fails. */
  readonly #steps: Readonly<Record<string, (step: Plain) => void | Promise<void>>> = {
    connect: async ({ error }) => {
      const how = this.#options.positions ? connectAtPositions : connect;
      const outcome = await this.#outcome(how(this.#connectOptions()));
      this.#expect(outcome, { error });
      if ("answer" in outcome) this.#bus = outcome.answer;
    },
    subscribe: async ({ room, as, ready, error, do: _, ...options }) => {
      const opened = this.bus.room(room);
      roomState(opened);
      const subscription = opened.subscribe(options);
      this.loops.set(as ?? room, this.#loop(subscription, subscription));
      if (ready === false) return;
      this.#expect(await this.#outcome(subscription.ready), { error });
    },
    since: ({ room, taken, as }) => {
      this.loops.set(as ?? room, this.#loop(subscribeSince(this.bus.room(room), taken)));
    },
    watch: async ({ room, prefix, as, error }) => {
      const watched = reduced(this.bus.room(room)).state.watch(prefix);
      this.watched.set(as ?? room, watched);
      this.#expect(await this.#outcome(watched.ready), { error });
    },
    leave: ({ of }) => this.#subscriptionOf(of).close(),
    publish: ({ room, type, data, as, error, offset, do: _, ...options }) =>
      this.#request(
        as,
        { error, offset },
        () => this.bus.room(room).publish(type, data as Data, options),
      ),
    command: ({ room, name, data, as, error, result, do: _, ...options }) =>
      this.#request(
        as,
        { error, result },
        () => this.bus.room(room).command(name, data as Data, options),
      ),
    settled: async ({ of, do: _, ...expect }) => {
      const outcome = this.#outcomes.get(of);
      assert.ok(outcome !== undefined, `no request is called ${of}`);
      this.#expect(await outcome, expect);
    },
    update: async ({ of, member_meta, error }) => {
      const update = this.#subscriptionOf(of).update(member_meta as Json);
      this.#expect(await this.#outcome(update), { error });
    },
    await: (step) => until(JSON.stringify(step), () => this.#holds(step)),
    signal: ({ name }) => this.#run.signal(name),
    close: () => this.bus.close(),
  };

  async step(step: Plain): Promise<void> {
    const how = this.#steps[step.do];
    assert.ok(how !== undefined, `no such step: ${JSON.stringify(step)}`);
    try {
      await how(step);
    } catch (error) {
      const { failures } = await this.#run.report();
      throw new Error(`${JSON.stringify(step)}: ${error}; the server says: ${failures}`);
    }
  }

  /** Closes everything and waits until every loop has ended. */
  async finish(): Promise<void> {
    await this.#bus?.close();
    await Promise.all([...this.loops.values()].map(({ done }) => done));
    await Promise.allSettled([...this.watched.values()].map(({ ended }) => ended));
    await Promise.all(this.#outcomes.values());
  }

  #connectOptions(): Parameters<typeof connect>[0] {
    const { token, tokens, random = 0.5, backoff, delta, positions: _, ...rest } = this.#options;
    let requests = 0;
    const getToken = () => {
      const next = tokens[requests++];
      if (typeof next === "string") return next;
      if (next?.hang === true) return new Promise<string>(() => {});
      throw new Error(next?.error ?? "no more tokens in the scenario");
    };
    return {
      url: this.#run.url,
      backoff: { base_ms: 4, max_ms: 16, ...backoff },
      random: () => random,
      // A machine under load looks like one that has slept, which would send an extra ping.
      platform_events: false,
      onStatus: (status) => this.statuses.push(shownStatus(status)),
      onError: (error) => this.errors.push(error.reason),
      ...(tokens === undefined ? { token: token ?? TOKEN } : { getToken, ...token && { token } }),
      ...rest,
      ...delta && foldedOver(rest.transport),
    };
  }

  #loop(messages: AsyncIterable<Message>, subscription?: Subscription): Loop {
    const received: Plain[] = [];
    const read = async () => {
      try {
        for await (const message of messages) received.push(shown(message));
        loop.ended = null;
      } catch (error) {
        loop.ended = reasonOf(error);
      }
    };
    const loop: Loop = {
      subscription,
      received,
      ended: undefined,
      done: Promise.resolve().then(read),
    };
    return loop;
  }

  #loopOf(of: string): Loop {
    const loop = this.loops.get(of);
    assert.ok(loop !== undefined, `no loop is called ${of}`);
    return loop;
  }

  #subscriptionOf(of: string): Subscription {
    const { subscription } = this.#loopOf(of);
    assert.ok(subscription !== undefined, `${of} is no subscription`);
    return subscription;
  }

  #outcome(promise: Promise<Plain>): Promise<Outcome> {
    return promise.then((answer) => ({ answer }), (error) => ({ error: reasonOf(error) }));
  }

  async #request(as: string | undefined, expect: Plain, send: () => Promise<Plain>): Promise<void> {
    const outcome = this.#outcome(send());
    if (as === undefined) this.#expect(await outcome, expect);
    else this.#outcomes.set(as, outcome);
  }

  #expect(outcome: Outcome, { error, offset, result }: Plain): void {
    assert.deepEqual("error" in outcome ? outcome.error : undefined, error);
    if (!("answer" in outcome)) return;
    if (offset !== undefined) assert.equal(Number(outcome.answer.offset), offset);
    if (result !== undefined) assert.deepEqual(outcome.answer.json(), result);
  }

  #holds({ of, messages, status, times = 1, errors, members, ended, version }: Plain): boolean {
    if (version !== undefined) return this.watched.get(of)?.version === version;
    if (status !== undefined) {
      const count = this.statuses.filter((one) =>
        one === status || (typeof one === "object" && status in one)
      ).length;
      return count >= times;
    }
    if (errors !== undefined) return this.errors.length >= errors;
    if (ended !== undefined) return this.#loopOf(ended).ended !== undefined;
    const { received, subscription } = this.#loopOf(of);
    if (messages !== undefined) return received.length >= messages;
    return JSON.stringify([...subscription?.presence?.members.keys() ?? []].sort()) ===
      JSON.stringify(members);
  }
}

function compare(program: Program, expect: Plain): void {
  const ofLoops = (wanted: Plain, read: (loop: Loop) => Plain) =>
    Object.fromEntries(
      Object.keys(wanted).map((name) => {
        const loop = program.loops.get(name);
        assert.ok(loop !== undefined, `no loop is called ${name}`);
        return [name, read(loop)];
      }),
    );
  const outcomes: Record<string, (wanted: Plain) => Plain> = {
    statuses: () => program.statuses,
    errors: () => program.errors,
    messages: (wanted) =>
      Object.fromEntries(
        Object.entries(ofLoops(wanted, ({ received }) => received)).map(([name, messages]) => [
          name,
          (messages as Plain[]).map((message, at) => partOf(wanted[name][at] ?? {}, message)),
        ]),
      ),
    ended: (wanted) => ofLoops(wanted, ({ ended }) => ended),
    members: (wanted) =>
      ofLoops(wanted, ({ subscription }) =>
        Object.fromEntries(
          [...subscription?.presence?.members ?? []].map(([id, member]) => [id, member.meta]),
        )),
    users: (wanted) => ofLoops(wanted, ({ subscription }) => subscription?.presence?.users),
    position: (wanted) => ofLoops(wanted, ({ subscription }) => subscription?.position ?? null),
    values: (wanted) =>
      Object.fromEntries(
        Object.keys(wanted).map((name) => [
          name,
          Object.fromEntries(program.watched.get(name)?.entries() ?? []),
        ]),
      ),
    recovered: (wanted) => ofLoops(wanted, ({ subscription }) => subscription?.recovered ?? null),
  };
  // An unexpected refusal is a failure, even if the scenario does not mention it.
  for (const [name, wanted] of Object.entries({ errors: [], ...expect })) {
    if (name === "connections" || name === "tokens") continue;
    const read = outcomes[name];
    assert.ok(read !== undefined, `no such outcome: ${name}`);
    assert.deepEqual(read(wanted), wanted, name);
  }
}

/** Plays a scenario over one transport; throws an AssertionError for the first difference. */
export async function runScenario(
  server: ScenarioServer,
  scenario: Plain,
  transport: Transport,
): Promise<void> {
  const { client, expect } = scenario;
  const run = await server.begin(scenario.name);
  const program = new Program(run, transport, client.options);
  try {
    for (const step of client.steps) await program.step(step);
    await run.over();
  } finally {
    await program.finish();
  }
  const report = await run.report();
  assert.deepEqual(report.failures, []);
  assert.ok(report.fulfilled);
  compare(program, expect);
  assert.equal(report.connections.length, expect.connections);
  if (expect.tokens !== undefined) {
    assert.deepEqual(report.connections.map(({ token }) => token), expect.tokens);
  }
}
