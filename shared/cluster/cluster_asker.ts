/**
 * Asks every Shield and Brain a question and gathers their answers within a timeout: the admin API's view of the whole
 * cluster. It detects when all have answered, and lists those that did not. Not a
 * membership protocol: nothing is decided by it.
 */
import { ArqonError } from "@arqon/proto";
import type { z } from "zod";
import { type Answerer, BYE, HELLO, Hello } from "./cluster_answerer.ts";
import {
  ANSWER_BYTES,
  decodeAnswer,
  decodeValue,
  encodeQuestion,
  SAME_CLOCK_MS,
} from "./cluster_question.ts";
import type { AnswerPart, NodeKind, Question } from "./cluster_question.ts";
import { connectionId } from "../ids.ts";
import { FairBound } from "../turns/fair_bound.ts";
import type { Env } from "../env.ts";
import type { Spine } from "../spine/contract/spine.ts";
import type { SpineMessage, Subscription } from "../spine/contract/spine_message.ts";
import { CLUSTER_QUESTIONS, processSubject } from "../subjects/subject.ts";

/** The process's parts that asking needs. */
export interface AskerOptions extends Pick<Env, "log" | "node_id" | "now" | "random"> {
  readonly spine: Pick<Spine, "publish" | "subscribe">;
  readonly kind: NodeKind;
  /** Answers for this process itself. */
  readonly answerer: Pick<Answerer, "own">;
  /** Monotonic ms; absent: `performance.now`. */
  readonly monotonic_ms?: () => number;
  /** How long to wait for the known processes, in ms; absent: a second. */
  readonly timeout_ms?: number;
  /** Reads the registered Shields; absent: only Shields that have sent a message are known. */
  readonly registered?: () => Promise<readonly RegisteredShield[]>;
}

interface AskOptions extends Wanted {
  readonly params?: Readonly<Record<string, unknown>>;
  /** How long to wait, in ms; absent: the default. */
  readonly timeout_ms?: number;
  /** Receives the answers so far after this many ms, if some of other processes are missing then. */
  readonly early?: { readonly after_ms: number; readonly tell: (soFar: Gathered<unknown>) => void };
  /** Set for a question that changes something: a process that receives it more than half a minute late ignores it. */
  readonly is_order?: true;
}

/** The processes that answered, and the known ones that did not: part of every answer of the admin API. */
export interface AskedNodes {
  readonly answered: readonly string[];
  readonly silent: readonly string[];
}

interface NodeAnswer<T> {
  readonly node_id: string;
  readonly kind: NodeKind;
  readonly value: T;
}

/** The answers to one question. */
export interface Gathered<T> {
  /** The answers, in the order of the processes' ids. */
  readonly answers: readonly NodeAnswer<T>[];
  readonly nodes: AskedNodes;
  /** When it was asked, and when each process answered: Unix ms by the asker's clock. */
  readonly asked_ms: number;
  readonly received_ms: ReadonlyMap<string, number>;
}

/** Counts of questions: totals since the start. */
interface AskerCounts {
  asked: number;
  /** Questions refused because too many were under way. */
  refused: number;
  /** Invalid answers, and answers to unknown questions. */
  malformed: number;
  /** Timeouts of known processes. */
  silent: number;
}

/** How long the known processes may take, in ms. */
const ASK_TIMEOUT_MS = 1_000;
/** How much longer this process itself may take, in ms: `arq` waits for ten seconds. */
const OWN_MS = 8_000;
/** The most concurrent questions, shared by the tenants that they are about. */
export const QUESTIONS_MAX = 16;
/** How long a question with all other answers waits for the registry, in ms. */
const REGISTRY_WAIT_MS = 250;
/** How long a read of the registry is valid, in ms: the interval of the Shields' marks. */
const FRESH_MS = 5_000;
/** How long an order is valid, in ms. */
const ORDER_MS = 30_000;
/** The wait for the receivers' clocks is this many times shorter than the wait for answers. */
const HELLO_PART = 3;
/** The most bytes of all answers to one question. */
const GATHERED_BYTES = 16 * ANSWER_BYTES;

/** The received parts of one process's answer. */
interface Arriving {
  readonly kind: NodeKind;
  readonly parts: (Uint8Array | undefined)[];
  missing: number;
}

interface Asked {
  readonly schema: z.ZodType;
  readonly wanted: Wanted;
  /** True until the registry has been read. */
  is_open: boolean;
  readonly expected: Set<string>;
  readonly arriving: Map<string, Arriving>;
  readonly answers: Map<string, NodeAnswer<unknown>>;
  readonly asked_ms: number;
  readonly received_ms: Map<string, number>;
  /** The processes that answered with a problem. */
  readonly failed: Set<string>;
  bytes: number;
  readonly settle: () => void;
}

/** The clocks of other processes by their ids, Unix ms. */
type Clocks = ReadonlyMap<string, number>;

interface Sent {
  readonly id: string;
  readonly question: string;
  readonly options: AskOptions;
  readonly clocks: Clocks | undefined;
}

/** Asks questions for one process. */
export class ClusterAsker {
  readonly counts: AskerCounts = { asked: 0, refused: 0, malformed: 0, silent: 0 };
  readonly #options: AskerOptions;
  readonly #known: KnownNodes;
  /** The read of the registry that is under way, and the monotonic time of the last one. */
  #reading: Promise<void> | undefined;
  #read_ms = -Infinity;
  readonly #pending = new Map<string, Asked>();
  readonly #shares = new FairBound(QUESTIONS_MAX);
  readonly #subscription: Subscription;

  /** Subscribes for answers; takes effect at the server with the next flush. Throws `spine-unavailable`. */
  constructor(options: AskerOptions) {
    this.#options = options;
    const { monotonic_ms = () => performance.now() } = options;
    this.#known = new KnownNodes({ ...options, monotonic_ms });
    const subject = processSubject("answers", options.node_id);
    this.#subscription = options.spine.subscribe(subject, (message) => this.#receive(message));
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Whether that process is known, or is this one. */
  isKnown(node_id: string): boolean {
    return this.#known.has(node_id);
  }

  /** Records a process that has sent a question or notice: it is known from now on. */
  onAsker({ question, asker, kind }: Pick<Question, "question" | "asker" | "kind">): void {
    if (question === BYE) this.#known.delete(asker);
    else this.#known.note(asker, kind);
  }

  /** Asks every process for its clock; they become known by their answers. Rejects as `ask` does. */
  hello(options?: AskOptions) {
    return this.ask(HELLO, Hello, options);
  }

  /**
   * Resolves when all known processes have answered, at the latest after the timeout; this process may take `OWN_MS`
   * longer. An answer that violates the schema is ignored. Rejects with `too-many-pending`.
   */
  async ask<S extends z.ZodType>(
    question: string,
    schema: S,
    options: AskOptions = {},
  ): Promise<Gathered<z.output<S>>> {
    const tenant_id = String(options.params?.["tenant"] ?? "");
    if (!this.#shares.take(tenant_id)) {
      this.counts.refused++;
      const detail = `${this.#shares.of(tenant_id)} questions about this tenant to the cluster`;
      throw new ArqonError("too-many-pending", detail, { retry_after_ms: 1_000 });
    }
    try {
      return await this.#ask(question, schema, options);
    } finally {
      this.#shares.add(tenant_id, -1);
    }
  }

  async #ask<S extends z.ZodType>(
    question: string,
    schema: S,
    options: AskOptions,
  ): Promise<Gathered<z.output<S>>> {
    this.counts.asked++;
    const clocks = options.is_order === true ? await this.#clocksOf(options) : undefined;
    const id = connectionId(this.#options.random);
    const { promise, resolve } = Promise.withResolvers<void>();
    const pending: Asked = {
      schema,
      wanted: { to: options.to, of: options.of },
      is_open: false,
      expected: new Set(this.#known.expected(options)),
      arriving: new Map(),
      answers: new Map(),
      asked_ms: this.#options.now(),
      received_ms: new Map(),
      failed: new Set(),
      bytes: 0,
      settle: resolve,
    };
    this.#pending.set(id, pending);
    const { early, timeout_ms = this.#options.timeout_ms ?? ASK_TIMEOUT_MS } = options;
    let own: Promise<void> | undefined;
    // This process is not silent: while it is busy, its own answer is late.
    const timers = [
      setTimeout(() => own?.then(resolve), timeout_ms),
      setTimeout(resolve, timeout_ms + OWN_MS),
    ];
    if (early !== undefined) {
      const tell = () => early.tell(gatheredOf(pending));
      timers.push(setTimeout(() => own?.then(tell), early.after_ms));
    }
    try {
      if (options.to === undefined && options.of !== "brain") this.#readRegistry(pending);
      this.#askOthers({ id, question, options, clocks }, pending);
      own = this.#askOwn(question, options, pending);
      await promise;
    } finally {
      timers.forEach(clearTimeout);
      this.#pending.delete(id);
    }
    return this.#result(pending) as Gathered<z.output<S>>;
  }

  /** Asks one node, or without one every process. Rejects as `ask`, and with `not-found` if nobody knows the node. */
  async askAt<S extends z.ZodType>(
    node: string | undefined,
    question: string,
    schema: S,
    options: Omit<AskOptions, "to"> = {},
  ): Promise<Gathered<z.output<S>>> {
    const gathered = await this.ask(question, schema, { ...options, to: node });
    if (node === undefined || gathered.nodes.answered.includes(node) || this.isKnown(node)) {
      return gathered;
    }
    throw new ArqonError("not-found", `no node ${node} answers`);
  }

  /** Ends the questions under way with the answers so far. */
  close(): void {
    this.#subscription.unsubscribe();
    for (const { settle } of this.#pending.values()) settle();
  }

  /** Keeps the question open until the registry was read, within a bound. */
  #readRegistry(pending: Asked): void {
    const { registered, log } = this.#options;
    const is_fresh = this.#reading === undefined && performance.now() - this.#read_ms < FRESH_MS;
    if (registered === undefined || is_fresh) return;
    this.#reading ??= registered().then((shields) => this.#register(shields)).catch((error) => {
      log.warn("the registry of Shields was not read", { error });
    }).finally(() => {
      this.#reading = undefined;
      this.#read_ms = performance.now();
    });
    pending.is_open = true;
    const close = () => {
      clearTimeout(timer);
      pending.is_open = false;
      this.#settleIfDone(pending);
    };
    const timer = setTimeout(close, REGISTRY_WAIT_MS);
    void this.#reading.then(close);
  }

  /** Adds the registered Shields to the expected answers of all questions under way. */
  #register(shields: readonly RegisteredShield[]): void {
    const gone = this.#known.register(shields);
    for (const { wanted, expected } of this.#pending.values()) {
      if (wanted.to !== undefined) continue;
      for (const id of this.#known.expected(wanted)) expected.add(id);
      for (const id of gone) expected.delete(id);
    }
  }

  /** The clocks of an order's receivers: its deadline is by their own clocks. */
  async #clocksOf({ to, of, timeout_ms }: AskOptions) {
    const { node_id, timeout_ms: most_ms = ASK_TIMEOUT_MS } = this.#options;
    if (to === node_id) return new Map<string, number>();
    const { answers } = await this.hello({
      to,
      of,
      timeout_ms: (timeout_ms ?? most_ms) / HELLO_PART,
    });
    return new Map(
      answers.flatMap(({ node_id: id, value: { now_ms } }) =>
        id === node_id ? [] : [[id, now_ms] as const]
      ),
    );
  }

  /** The receivers of a question, and its deadline there. One message for all, unless their clocks differ. */
  #addresses({ to, of, is_order }: AskOptions, clocks: Clocks, pending: Asked) {
    const { node_id, now } = this.#options;
    const kind = of === undefined ? {} : { of };
    if (is_order !== true) return [{ ...kind, ...(to === undefined ? {} : { to }) }];
    const untilOf = (id: string) => ({ until_ms: (clocks.get(id) ?? now()) + ORDER_MS });
    const isFar = (now_ms: number) => Math.abs(now_ms - now()) > SAME_CLOCK_MS;
    if (to === undefined && !clocks.values().some(isFar)) return [{ ...kind, ...untilOf("") }];
    const ids = to === undefined ? [...pending.expected].filter((id) => id !== node_id) : [to];
    return ids.map((id) => ({ ...kind, to: id, ...untilOf(id) }));
  }

  #askOthers({ id, question, options, clocks = new Map() }: Sent, pending: Asked): void {
    const { spine, node_id, kind, log } = this.#options;
    const { params = {} } = options;
    if (options.to === node_id) return;
    try {
      for (const address of this.#addresses(options, clocks, pending)) {
        const head = { question, id, asker: node_id, kind, ...address };
        spine.publish(CLUSTER_QUESTIONS, encodeQuestion({ ...head, params }));
      }
    } catch (error) {
      if (error instanceof RangeError) throw new ArqonError("invalid-settings", error.message);
      // There will be no answer: ends the question at once.
      log.debug("the cluster was not asked", { question, error });
      if (!pending.expected.has(node_id)) pending.settle();
      for (const expected of pending.expected) {
        if (expected !== node_id) pending.failed.add(expected);
      }
    }
  }

  async #askOwn(question: string, { params = {} }: AskOptions, pending: Asked): Promise<void> {
    const { node_id, kind, answerer, log } = this.#options;
    if (!pending.expected.has(node_id)) return;
    try {
      const value = pending.schema.parse(await answerer.own(question, params));
      pending.answers.set(node_id, { node_id, kind, value });
      pending.received_ms.set(node_id, this.#options.now());
    } catch (error) {
      pending.failed.add(node_id);
      log.warn("this process cannot answer its own question", { question, error });
    }
    this.#settleIfDone(pending);
  }

  #receive({ payload }: SpineMessage): void {
    const part = decodeAnswer(payload);
    if (part === undefined || part.node === this.#options.node_id) {
      this.counts.malformed++;
      return;
    }
    this.#known.note(part.node, part.kind);
    const pending = this.#pending.get(part.id);
    // Late processes are known from now on.
    if (pending !== undefined) this.#take(pending, part);
  }

  #take(pending: Asked, part: AnswerPart): void {
    const { node, kind, problem, parts, bytes } = part;
    if (pending.answers.has(node) || pending.failed.has(node)) return;
    if (problem !== undefined) {
      // The asker is notified.
      this.#options.log.debug("a process does not answer a question", { node, problem });
      pending.failed.add(node);
      return this.#settleIfDone(pending);
    }
    const arriving = pending.arriving.get(node) ??
      { kind, parts: new Array<Uint8Array | undefined>(parts).fill(undefined), missing: parts };
    pending.bytes += bytes.length;
    const fits = arriving.parts.length === parts && pending.bytes <= GATHERED_BYTES &&
      pending.arriving.size < NODES_MAX && arriving.parts[part.part] === undefined;
    if (!fits) {
      this.counts.malformed++;
      return;
    }
    arriving.parts[part.part] = bytes;
    arriving.missing--;
    pending.arriving.set(node, arriving);
    if (arriving.missing === 0) this.#complete(pending, node, arriving);
  }

  #complete(pending: Asked, node_id: string, { kind, parts }: Arriving): void {
    const value = decodeValue(parts.filter((part) => part !== undefined));
    const parsed = pending.schema.safeParse(value);
    if (parsed.success) {
      pending.answers.set(node_id, { node_id, kind, value: parsed.data });
      pending.received_ms.set(node_id, this.#options.now());
    } else {
      this.counts.malformed++;
      pending.failed.add(node_id);
      this.#options.log.debug("an answer is not what was asked for", { node: node_id });
    }
    this.#settleIfDone(pending);
  }

  #settleIfDone({ expected, answers, failed, settle, is_open }: Asked): void {
    if (is_open) return;
    for (const id of expected) if (!answers.has(id) && !failed.has(id)) return;
    settle();
  }

  #result(pending: Asked): Gathered<unknown> {
    const gathered = gatheredOf(pending);
    const { silent } = gathered.nodes;
    this.counts.silent += silent.length;
    this.#known.forget(silent);
    return gathered;
  }
}

function gatheredOf(
  { expected, answers, failed, asked_ms, received_ms }: Asked,
): Gathered<unknown> {
  const silent = [...new Set([...expected, ...failed])].filter((id) => !answers.has(id)).sort();
  const sorted = [...answers.values()].sort((a, b) => a.node_id < b.node_id ? -1 : 1);
  const nodes = { answered: sorted.map(({ node_id }) => node_id), silent };
  return { answers: sorted, nodes, asked_ms, received_ms: new Map(received_ms) };
}

/** A process that was asked and has been silent for this long is forgotten, in ms. */
const FORGET_MS = 120_000;
/** The most processes that are remembered, and whose answers to one question are accepted. */
const NODES_MAX = 1_024;

/** A registered Shield. */
export interface RegisteredShield {
  readonly node_id: string;
  /** Set for a Shield that is gone: time in ms in which it cannot have sent anything. Absent: it is alive. */
  readonly over_for_ms?: number;
}

/** Selects processes. */
interface Wanted {
  /** The one process; absent: all. */
  readonly to?: string | undefined;
  /** Only processes of this kind; absent: both kinds. */
  readonly of?: NodeKind | undefined;
}

interface Known {
  readonly kind: NodeKind;
  /** Monotonic ms. */
  seen_ms: number;
}

/** This process. */
interface KnownNodesOptions extends Pick<Env, "node_id" | "monotonic_ms"> {
  readonly kind: NodeKind;
}

/** The processes that this process knows. */
export class KnownNodes {
  readonly #own: KnownNodesOptions;
  readonly #known = new Map<string, Known>();

  constructor(own: KnownNodesOptions) {
    this.#own = own;
  }

  /** Whether that process has sent a message, or is this one. */
  has(node_id: string): boolean {
    return node_id === this.#own.node_id || this.#known.has(node_id);
  }

  note(node_id: string, kind: NodeKind): void {
    const known = this.#known.get(node_id);
    if (known !== undefined) known.seen_ms = this.#own.monotonic_ms();
    else if (this.#known.size < NODES_MAX) {
      this.#known.set(node_id, { kind, seen_ms: this.#own.monotonic_ms() });
    }
  }

  /** It has announced its end. */
  delete(node_id: string): void {
    this.#known.delete(node_id);
  }

  /** The processes whose answers are awaited. */
  expected({ to, of }: Wanted): string[] {
    if (to !== undefined) return [to];
    const { node_id, kind } = this.#own;
    const all: [string, NodeKind][] = [[node_id, kind]];
    for (const [id, known] of this.#known) all.push([id, known.kind]);
    return all.filter(([, its_kind]) => (of ?? its_kind) === its_kind).map(([id]) => id);
  }

  /**
   * Applies the registry. Returns the Shields that are gone; one that sent a message under its old name after its end
   * is kept.
   */
  register(shields: readonly RegisteredShield[]): ReadonlySet<string> {
    const gone = new Set<string>();
    for (const { node_id, over_for_ms } of shields) {
      const known = this.#known.get(node_id);
      if (node_id === this.#own.node_id) continue;
      if (over_for_ms === undefined) {
        if (known === undefined) this.note(node_id, "shield");
      } else if (known !== undefined && this.#silent(known) >= over_for_ms) {
        this.#known.delete(node_id);
        gone.add(node_id);
      }
    }
    return gone;
  }

  #silent({ seen_ms }: Known): number {
    return this.#own.monotonic_ms() - seen_ms;
  }

  /** Forgets processes that have been silent for long, after they were reported: they are not awaited again. */
  forget(silent: readonly string[]): void {
    for (const id of silent) {
      const known = this.#known.get(id);
      if (known !== undefined && this.#silent(known) > FORGET_MS) this.#known.delete(id);
    }
  }
}
