/**
 * Detects whether a stream is still the known one, or an older copy that was restored in its place. The known fact is
 * the newest message: its sequence and the server's time. Processes ask each other for it. If none knows it, or the
 * stream no longer has it, a new life begins. The lives are in the stream's metadata, so that every copy of the stream
 * has its own.
 */
import { isConflict } from "../../contract/compare_and_set.ts";
import {
  decodeLives,
  encodeLives,
  lastOf,
  newestLife,
  newLifeId,
  withLife,
} from "../../contract/lives.ts";
import type { Lives } from "../../contract/lives.ts";
import { StreamLost } from "../connection/nats_errors.ts";
import type { LogApi, StreamConfig, StreamInfo } from "./nats_log_api.ts";
import type { NameTools } from "./nats_log_stream.ts";
import { BoundedMap } from "../../../containers/bounded_map.ts";
import { samplingHash } from "../../../sampling.ts";
import { processSubject } from "../../../subjects/subject.ts";
import type { Link } from "../connection/nats_link.ts";

/** The key of the lives in the stream's metadata. */
const LIVES = "arqon-lives";
/** Older knowledge at the time of the disconnect is no proof: others may have seen more since. */
const FRESH_MS = 30_000;
/** An empty stream of at most this age is new, and not a restored backup. */
const NEW_MS = 10_000;
/** Timeout of a witness's answer. */
const ASK_MS = 1_000;
/** How long an outdated leader may still answer. */
const LEADER_MS = 1_500;
/** How long after an outage of NATS witnesses may reconnect later than this process. */
const WITNESSES_MS = 6_000;
/** How long a connected witness without an answer is asked again: it may be suspended and resume. */
export const SILENCE_MS = 10_000;
const POLL_MS = 50;

/** The dependencies of a stream's lives. */
export interface StreamLivesTools {
  readonly api: LogApi;
  readonly names: NameTools;
  /** With `SILENCE_MS`; one for the connection. */
  readonly silences: Silences;
  readonly tails: EndedTails;
}

const idOf = (name: string): string => name.split("~")[1] ?? "";

/** The lives in the stream's metadata; without an entry, the first life. */
function livesOf({ name, metadata }: StreamConfig): Lives {
  const first = [{ name, first: 0 }];
  const text = metadata?.[LIVES];
  if (text === undefined) return first;
  return decodeLives(text, (id) => id === "" ? name : `${name}~${id}`) ?? first;
}

function isNew({ state, created, ts }: StreamInfo): boolean {
  return state.last_seq === 0 && Date.parse(ts) - Date.parse(created) < NEW_MS;
}

/** The lives of one log's stream. */
export class StreamLives {
  readonly #tools: StreamLivesTools;
  #lives: Lives = [{ name: "", first: 0 }];
  #stream = "";
  /** What `#lives` was read from. */
  #text: string | undefined;
  /** Sequence of the newest message that the leader has reported. */
  #offset = 0;
  #time = "";
  /** The highest offset acknowledged to this process. */
  #acknowledged = 0;
  /** Monotonic time of the last report about the stream. */
  #reported_ms = -Infinity;
  /** The knowledge was fresh when the connection broke. */
  #is_known = false;
  #is_proven = false;
  /** How often it became uncertain: answers to earlier requests do not count. */
  #doubts = 0;
  /** Since when a newer leader is awaited; monotonic. */
  #waiting_ms: number | undefined;
  /** Resolves when it is decided whether the stream is the known one. */
  #settled = Promise.withResolvers<void>();
  #vouched = "";
  #stopVouching: () => void = () => {};

  constructor(tools: StreamLivesTools) {
    this.#tools = tools;
  }

  get lives(): Lives {
    return this.#lives;
  }

  get is_proven(): boolean {
    return this.#is_proven;
  }

  /** Called when the connection broke, or the stream was deleted: the next stream must be compared. */
  doubt(): void {
    this.#doubts++;
    if (!this.#is_proven) return;
    this.#is_proven = false;
    this.#waiting_ms = undefined;
    this.#is_known = this.#tools.api.link.monotonic() - this.#reported_ms <= FRESH_MS;
    this.#settled = Promise.withResolvers<void>();
    this.#unvouch();
  }

  /** Records a stored append. False: the stream had already assigned that offset. */
  stored(offset: number): boolean {
    this.#reported_ms = this.#tools.api.link.monotonic();
    if (offset <= this.#acknowledged) return false;
    this.#acknowledged = offset;
    return true;
  }

  /** The present knowledge: read it before a request to the leader, and pass it with the answer. */
  get tail(): Tail {
    const life = newestLife(this.#lives).name;
    return { life, given: this.#given, offset: this.#offset, time: this.#time };
  }

  /**
   * Records an answer of the leader. Throws `StreamLost` if it contradicts the knowledge at the time of the request
   * (`asked`): then call `prove`. Later knowledge may be newer than the answer, because the leader answers requests out
   * of order with appends.
   */
  receive({ config, state }: StreamInfo, tail: Tail): void {
    if (config.name !== this.#stream) throw new StreamLost("the log has another stream");
    const { name } = newestLife(this.#lives);
    if (tail.life !== name) return;
    const text = config.metadata?.[LIVES];
    if (text !== this.#text) {
      const lives = livesOf(config);
      if (lastOf(lives, name) === undefined) throw new StreamLost("the log has lost a life");
      this.#lives = lives;
      this.#text = text;
    }
    if (state.last_seq < tail.given) throw new StreamLost("the log has lost its end");
    if (state.last_seq >= this.#offset) this.#note(state);
  }

  /** As `receive`, and checks that the newest known message still exists. */
  async compare(info: StreamInfo, tail: Tail, timeout_ms: number): Promise<void> {
    if (info.state.last_seq >= tail.given && !await this.#holds(info, tail, timeout_ms)) {
      throw new StreamLost("the log holds other messages than before");
    }
    this.receive(info, tail);
  }

  /**
   * Decides whether the stream continues or a new life begins; `info` is the present one. Resolves with the stream's
   * info after that. Rejects as the requests do; then call it again.
   */
  async prove(info: StreamInfo, timeout_ms: number): Promise<StreamInfo> {
    try {
      return await this.#prove(info, timeout_ms);
    } catch (error) {
      // A listener without an answer would look like a witness, and this process would ask itself.
      if (!this.#is_proven) this.#unvouch();
      throw error;
    }
  }

  async #prove(info: StreamInfo, timeout_ms: number): Promise<StreamInfo> {
    const doubts = this.#doubts;
    if (info.config.name !== this.#stream) this.#is_known = false;
    else if (this.#is_proven) this.#is_known = true;
    const settled = await this.#settle(info, timeout_ms);
    if (doubts !== this.#doubts) throw new Error("the connection broke meanwhile");
    const { config, state } = settled;
    this.#stream = config.name;
    this.#lives = livesOf(config);
    this.#text = config.metadata?.[LIVES];
    this.#acknowledged = 0;
    this.#note(state);
    this.#waiting_ms = undefined;
    this.#tools.silences.forget(config.name);
    this.#is_proven = true;
    this.#settled.resolve();
    this.#vouch(config.name);
    return settled;
  }

  /** Answers other processes once the stream is decided. */
  #vouch(stream: string): void {
    if (this.#vouched === stream) return;
    this.#stopVouching();
    this.#vouched = stream;
    this.#stopVouching = vouchFor(this.#tools.api.link, stream, async () => {
      await this.#settled.promise;
      return this.tail;
    });
  }

  #unvouch(): void {
    this.#stopVouching();
    this.#stopVouching = () => {};
    this.#vouched = "";
  }

  get #given(): number {
    return Math.max(this.#offset, this.#acknowledged);
  }

  #note(state: StreamInfo["state"]): void {
    this.#offset = state.last_seq;
    this.#time = state.last_ts ?? "";
    this.#reported_ms = this.#tools.api.link.monotonic();
  }

  async #settle(info: StreamInfo, timeout_ms: number): Promise<StreamInfo> {
    const { names } = this.#tools;
    const { name } = info.config;
    if (isNew(info)) return info;
    const known = this.#is_known ? this.tail : undefined;
    if (known !== undefined && await this.#goesOn(info, known, timeout_ms)) return info;
    // Read before the witnesses are asked: a life that begins later changes it.
    const bucket = await names.bucket();
    const mark = await bucket.get(["life", name]);
    if (known === undefined) {
      const now = await this.#askedOthers(info, timeout_ms);
      if (now !== undefined) return now;
    }
    // Before the mark: a process that finds the mark can then ask this one.
    this.#vouch(name);
    const id = newLifeId(Math.random);
    try {
      await bucket.update(["life", name], new TextEncoder().encode(id), mark?.revision ?? 0);
    } catch (error) {
      if (!isConflict(error)) throw error;
      return await this.#another(info, timeout_ms);
    }
    return await this.#begin(info, id, known, timeout_ms);
  }

  /**
   * The stream's info after a witness confirmed that it continues; undefined without a witness. Throws while a witness
   * may still answer.
   */
  async #askedOthers(info: StreamInfo, timeout_ms: number): Promise<StreamInfo | undefined> {
    const { api, silences, tails } = this.#tools;
    const { name } = info.config;
    const ask_ms = Math.min(ASK_MS, timeout_ms);
    const answer = await askForTail(api.link, name, ask_ms);
    if (silences.goOn(name, answer, ask_ms)) {
      throw new Error("who knows the log does not answer yet");
    }
    const known = typeof answer === "string" ? tails.of(name) ?? answer : answer;
    if (typeof known !== "string") {
      // Read again: the witness's life may have begun meanwhile.
      const now = await api.info(name, timeout_ms);
      return await this.#goesOn(now, known, timeout_ms) ? now : undefined;
    }
    if (this.#mayCome()) throw new Error("nobody knows the log yet");
    // A leader that was frozen, and does not know of the present one, would let the life begin before its last
    // messages.
    this.#awaitLeader(info.config);
    return undefined;
  }

  /** Whether the stream contains the known tail, or began a new life before it. */
  async #goesOn(info: StreamInfo, tail: Tail, timeout_ms: number): Promise<boolean> {
    const { config, state } = info;
    const last = lastOf(livesOf(config), tail.life);
    if (last === undefined) return false;
    if (tail.given > last) return true;
    if (state.last_seq < tail.given) {
      this.#awaitLeader(config);
      return false;
    }
    return await this.#holds(info, tail, timeout_ms);
  }

  /** Whether witnesses may still be reconnecting after an outage. */
  #mayCome(): boolean {
    const { reconnects, state_ms } = this.#tools.api.link;
    return reconnects > 0 && state_ms < WITNESSES_MS;
  }

  /** Throws until `LEADER_MS` have passed, unless one server has the stream alone. */
  #awaitLeader({ num_replicas }: StreamInfo["config"]): void {
    if (num_replicas <= 1) return;
    const now_ms = this.#tools.api.link.monotonic();
    this.#waiting_ms ??= now_ms;
    if (now_ms - this.#waiting_ms < LEADER_MS) throw new Error("the log's leader may be behind");
  }

  /** Whether the stream has that message, or trimmed it and has no newer one with a lower sequence. */
  async #holds({ config, state }: StreamInfo, tail: Tail, timeout_ms: number): Promise<boolean> {
    const { offset, time } = tail;
    if (offset === 0 || time === "") return true;
    if (state.last_seq === offset && state.last_ts === time) return true;
    const { api } = this.#tools;
    const found = await api.messageAt(config.name, { seq: offset }, timeout_ms);
    if (found !== undefined) return found.time === time;
    // It was trimmed. Later messages must have higher sequences.
    const later = await api.messageAt(
      config.name,
      { start_time: time, next_by_subj: ">" },
      timeout_ms,
    );
    return later === undefined || later.seq > offset;
  }

  /** Records a new life that begins after all messages that may be older. */
  async #begin(
    { config: { name } }: StreamInfo,
    id: string,
    known: Tail | undefined,
    timeout_ms: number,
  ): Promise<StreamInfo> {
    const { api } = this.#tools;
    const { config, state } = await api.info(name, timeout_ms);
    // Other processes may have written to the restored copy before it was detected.
    const later = known === undefined || known.time === ""
      ? undefined
      : await api.messageAt(name, { start_time: known.time, next_by_subj: ">" }, timeout_ms);
    const is_new = later !== undefined && later.time !== known?.time;
    const first = is_new ? Math.min(later.seq, state.last_seq + 1) : state.last_seq + 1;
    const lives = withLife(livesOf(config), `${name}~${id}`, first);
    api.link.log.warn("nobody can say that a log goes on; its rooms have another epoch", {
      stream: name,
      from_offset: first,
      known_offset: known?.given,
    });
    const metadata = { ...config.metadata, [LIVES]: encodeLives(lives, idOf) };
    return await api.update({ ...config, metadata }, timeout_ms);
  }

  /** Another process is beginning a life: waits until it is recorded. */
  async #another({ config }: StreamInfo, timeout_ms: number): Promise<StreamInfo> {
    const { api } = this.#tools;
    const until_ms = api.link.monotonic() + timeout_ms;
    const before = config.metadata?.[LIVES];
    while (api.link.monotonic() < until_ms) {
      const info = await api.info(config.name, timeout_ms);
      if (info.config.metadata?.[LIVES] !== before) return info;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Error("another process begins a life of the log");
  }
}

/** What a process knows about a stream. */
export interface Tail {
  /** Name of its newest life. */
  readonly life: string;
  /** The highest offset seen; 0: none. */
  readonly given: number;
  /** The offset of a message at or below `given`, and the server's text of its time; 0 and "": none. */
  readonly offset: number;
  readonly time: string;
}

/** The result of asking: a tail, "nobody" (no responder), or "silence" (a responder without an answer). */
type WitnessAnswer = Tail | "nobody" | "silence";

/** The server's status for no responders. */
const NO_RESPONDERS = 503;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

// A subject on which Shields and Brains may publish and subscribe under the accounts of docs/run_nats.md.
const subjectOf = (stream: string) =>
  processSubject("answers", `log-${samplingHash(stream).toString(36)}`);

/** A tail in a message, and its stream; undefined: there is none. */
function readTail(bytes: Uint8Array): { stream: string; tail: Tail } | undefined {
  try {
    const { stream, life, given, offset, time } = JSON.parse(decoder.decode(bytes));
    const is_right = [stream, life, time].every((one) => typeof one === "string") &&
      [given, offset].every(Number.isSafeInteger) && offset >= 0 && offset <= given;
    return is_right ? { stream, tail: { life, given, offset, time } } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Answers requests about the stream with the result of `tail`, until the returned function is called. `tail` may be
 * slow while the stream is being decided; requesters wait briefly.
 */
function vouchFor(link: Link, stream: string, tail: () => Promise<Tail>): () => void {
  let is_over = false;
  const answer = async (reply: string) => {
    const known = encoder.encode(JSON.stringify({ stream, ...await tail() }));
    if (!is_over && link.state === "connected") link.connection.publish(reply, known);
  };
  const subscription = link.connection.subscribe(subjectOf(stream), {
    callback: (error, { data, reply }) => {
      if (error) {
        link.log.warn("cannot say to others how far a log is", { stream, error });
        return;
      }
      if (reply === undefined || reply === "" || decoder.decode(data) !== stream) return;
      // Requesters wait briefly, and then use the log's own state.
      answer(reply).catch((error) => link.log.debug("no answer about a log", { stream, error }));
    },
  });
  return () => {
    is_over = true;
    subscription.unsubscribe();
  };
}

/**
 * The first answer; "nobody" at once without a responder; "silence" after `timeout_ms` with one: a suspended or busy
 * process keeps its subscription.
 */
async function askForTail(
  link: Link,
  stream: string,
  timeout_ms: number,
): Promise<WitnessAnswer> {
  const { promise, resolve } = Promise.withResolvers<WitnessAnswer>();
  const reply = processSubject("answers", `log-${newLifeId(Math.random)}`);
  const subscription = link.connection.subscribe(reply, {
    callback: (error, { data, headers }) => {
      const is_answer = !error && headers?.code !== NO_RESPONDERS;
      const found = is_answer ? readTail(data) : undefined;
      resolve(found?.stream === stream ? found.tail : "nobody");
    },
  });
  const timer = setTimeout(() => resolve("silence"), timeout_ms);
  try {
    link.connection.publish(subjectOf(stream), encoder.encode(stream), { reply });
    return await promise;
  } finally {
    clearTimeout(timer);
    subscription.unsubscribe();
  }
}

/** The most streams that are remembered or counted; above, the first one is forgotten. */
const STREAMS_MAX = 65_536;

/** The subject on which an ending process publishes its tails: all witnesses may end before others ask. */
const ENDS = processSubject("answers", "logs-told");
/** Older notices are no proof: others may have seen more since. */
const NOTICE_MS = 30_000;

/** Publishes a tail to all other processes when this one ends. */
export function tellTail({ connection }: Link, stream: string, tail: Tail): void {
  connection.publish(ENDS, encoder.encode(JSON.stringify({ stream, ...tail })));
}

/** The last tails of ended processes, received since this connection was opened or restored. */
export class EndedTails {
  readonly #tails = new BoundedMap<string, { readonly tail: Tail; readonly at_ms: number }>(
    STREAMS_MAX,
  );
  readonly #link: Link;

  constructor(link: Link) {
    const { connection, log } = link;
    this.#link = link;
    connection.subscribe(ENDS, {
      callback: (error, { data }) => {
        if (error) {
          return log.warn("does not hear how far logs of processes that end are", { error });
        }
        const found = readTail(data);
        if (found === undefined) return;
        const { stream, tail } = found;
        const before = this.of(stream);
        if (before === undefined || before.given <= tail.given) {
          this.#tails.set(stream, { tail, at_ms: link.monotonic() });
        }
      },
    });
  }

  /** Called when the connection is lost: notices may be missed meanwhile. */
  cut(): void {
    this.#tails.clear();
  }

  of(stream: string): Tail | undefined {
    const notice = this.#tails.get(stream);
    return notice !== undefined && this.#link.monotonic() - notice.at_ms <= NOTICE_MS
      ? notice.tail
      : undefined;
  }
}

/**
 * How long the witnesses of a stream have not answered although connected: a suspended one may answer the next request.
 * Counts only the time of the requests, whatever their distance; one for a connection, because a log that could not be
 * opened is forgotten. Pure.
 */
export class Silences {
  readonly #bound_ms: number;
  readonly #asked_ms = new BoundedMap<string, number>(STREAMS_MAX);

  /** `bound_ms`: after this time without an answer, requests stop. */
  constructor(bound_ms: number) {
    this.#bound_ms = bound_ms;
  }

  /** Records the result of a request with `timeout_ms`. True: ask again. */
  goOn(stream: string, answer: WitnessAnswer, timeout_ms: number): boolean {
    if (answer !== "silence") {
      this.#asked_ms.delete(stream);
      return false;
    }
    const asked_ms = (this.#asked_ms.get(stream) ?? 0) + timeout_ms;
    this.#asked_ms.set(stream, asked_ms);
    return asked_ms < this.#bound_ms;
  }

  /** Called when the stream is decided: later requests count from zero. */
  forget(stream: string): void {
    this.#asked_ms.delete(stream);
  }
}
